package domain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// AnswerBody is what the body of an ERP's answer says. It is read as a stream: of a body of any length only what has a
// meaning is kept.
type AnswerBody struct {
	Start  []byte // the first MaxResponseBytes, as they came
	More   bool   // the body is longer than that
	Unread string // why its end was not read, in words; empty when it was

	isUTF16  bool // by its byte order mark; not read
	isObject bool
	isWhole  bool             // valid JSON to its end
	members  map[string]value // of the object, those that have a meaning; the last of a name
	top      value            // what is no object
}

// byteOrderMark may stand before the JSON: some ERPs write it.
const byteOrderMark = "\uFEFF"

// utf16Marks begin a text in UTF-16, of which nothing else looks like JSON.
var utf16Marks = [2]string{"\xff\xfe", "\xfe\xff"}

// AnswerBodyOf reads a body that is there.
func AnswerBodyOf(body []byte) AnswerBody {
	b, _ := ReadAnswerBody(bytes.NewReader(body)) // such a reader does not fail
	return b
}

// ReadAnswerBody reads a body as far as it must, at most MaxAnswerBytes: a JSON object or list to its end, and of all else
// what is kept. The error is the reader's, where it fails before that much was there: then there is no whole answer. Beyond
// it, an answer that breaks off, or does not end in time, is one of which the end is not known.
func ReadAnswerBody(in io.Reader) (AnswerBody, error) {
	source := &bodySource{in: in, left: MaxAnswerBytes + 1}
	b := AnswerBody{members: map[string]value{}}
	b.scan(source)
	source.fill()
	if source.err != nil && !errors.Is(source.err, io.EOF) {
		if !source.more {
			return AnswerBody{}, source.err
		}
		b.Unread = fmt.Sprintf("it broke off after %d bytes", MaxAnswerBytes+1-source.left)
	}
	if source.left == 0 {
		b.Unread = fmt.Sprintf("it is longer than the %d MiB that are read", MaxAnswerBytes>>20)
	}
	if b.Unread != "" {
		b.isWhole = false
	}
	b.Start, b.More = source.start, source.more
	return b, nil
}

// bodySource keeps the start of what passes.
type bodySource struct {
	in    io.Reader
	left  int // that may be read
	start []byte
	more  bool // than the start
	err   error
}

// Read ends at the limit as at the end of the body.
func (s *bodySource) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.in.Read(p[:min(len(p), s.left)])
	s.left -= n
	s.err = err
	keep := min(n, MaxResponseBytes-len(s.start))
	s.start = append(s.start, p[:keep]...)
	s.more = s.more || keep < n
	return n, err
}

// fill reads until the start is complete, and known to be all or not.
func (s *bodySource) fill() {
	if s.more || s.err != nil {
		return
	}
	buffer := make([]byte, readBytes)
	for !s.more && s.err == nil {
		_, _ = s.Read(buffer) // what it says stands in err
	}
}

// readBytes are read at once; most answers are shorter.
const readBytes = 2 << 10
