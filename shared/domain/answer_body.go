package domain

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// AnswerBody is what is kept of the body of an ERP's answer. The body is read as a stream; only the members with a meaning and the
// start are kept, however long it is.
type AnswerBody struct {
	Start  []byte // the first MaxResponseBytes, as they came
	More   bool   // the body is longer than that
	Unread string // why it was not read to its end; empty when it was

	isUTF16  bool // by its byte order mark; such a body is not read
	isObject bool
	isWhole  bool             // valid JSON to its end
	also     []string         // members that have a meaning by a setting
	members  map[string]value // the members of the object that have a meaning; of a name, the last
	top      value            // a value that is no object
}

// byteOrderMark is what some ERPs write before the JSON.
const byteOrderMark = "\uFEFF"

// utf16Marks begin a text in UTF-16.
var utf16Marks = [2]string{"\xff\xfe", "\xfe\xff"}

// AnswerBodyOf reads a body from memory.
func AnswerBodyOf(body []byte, also ...string) AnswerBody {
	b, _ := ReadAnswerBody(bytes.NewReader(body), also...) // such a reader does not fail
	return b
}

// ReadAnswerBody reads a body as far as needed, at most MaxAnswerBytes: a JSON object or list to its end, anything else as far as it
// is kept. The error is that of the reader, when it fails before so much was read: then there is no whole answer. When it fails
// later, the answer counts, and its end is unknown. The members also are kept beside those that always have a meaning.
func ReadAnswerBody(in io.Reader, also ...string) (AnswerBody, error) {
	source := &bodySource{in: in, left: MaxAnswerBytes + 1}
	b := AnswerBody{also: also, members: map[string]value{}}
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

// bodySource is a reader that keeps the start of what it reads.
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

// fill reads until the start is complete, and until it is known whether the body is longer.
func (s *bodySource) fill() {
	if s.more || s.err != nil {
		return
	}
	buffer := make([]byte, readBytes)
	for !s.more && s.err == nil {
		_, _ = s.Read(buffer) // the error is kept in err
	}
}

// readBytes is the size of the buffer; most answers are shorter.
const readBytes = 2 << 10
