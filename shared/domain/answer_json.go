package domain

import (
	"bufio"
	"errors"
	"io"
	"slices"
)

// meant are the members of the answer's object that have a meaning.
var meant = map[string]bool{
	"erp_reference": true, "erp_id": true, "id": true, "code": true,
	"error": true, "message": true, "title": true, "detail": true, "errors": true,
	"order_increment_id": true, "idempotency_key": true, "source": true, // of a look-up
}

// Limits of what is kept of an answer's JSON.
const (
	maxNesting   = 1000              // of objects and lists; deeper ones are not read
	keptNesting  = 4                 // levels that are kept
	maxKeptText  = MaxErrorBytes + 1 // of a text or number: one byte more than is used, to see that it was longer
	maxKeptBytes = 16 << 10          // of one member
	valueBytes   = 64                // that each value counts in addition to its text
)

var errNotJSON = errors.New("not JSON")

// scan reads JSON to its end, and anything else until it is clear that it is none.
func (b *AnswerBody) scan(source io.Reader) {
	s := jsonStream{in: bufio.NewReaderSize(source, readBytes)}
	if mark, _ := s.in.Peek(len(byteOrderMark)); string(mark) == byteOrderMark {
		_, _ = s.in.Discard(len(byteOrderMark)) // Peek has read them
	}
	if mark, _ := s.in.Peek(2); string(mark) == utf16Marks[0] || string(mark) == utf16Marks[1] {
		b.isUTF16 = true
		return
	}
	first, err := s.next()
	if err != nil {
		return
	}
	if b.isObject = first == '{'; b.isObject {
		err = s.object(true, b.member(&s))
	} else {
		b.top, err = s.keep(first)
	}
	if err == nil {
		_, err = s.next()
		b.isWhole = errors.Is(err, io.EOF)
	}
	if !b.isWhole {
		b.top = value{}
	}
}

// member returns the function that reads one member of the object.
func (b *AnswerBody) member(s *jsonStream) func(name string, first byte) error {
	return func(name string, first byte) error {
		if !meant[name] && !slices.Contains(b.also, name) {
			return s.skip(first)
		}
		delete(b.members, name)
		v, err := s.keep(first)
		if err == nil {
			b.members[name] = v
		}
		return err
	}
}

// jsonStream reads JSON byte by byte, by the grammar of RFC 8259, in memory that does not grow with it.
type jsonStream struct {
	in    *bufio.Reader
	depth int
	room  int // bytes that may still be kept of this member
}

// next reads the next byte that is no white space.
func (s *jsonStream) next() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

// keep reads and keeps the value that begins with this byte.
func (s *jsonStream) keep(first byte) (value, error) {
	s.room = maxKeptBytes
	return s.value(first, keptNesting)
}

// skip reads a value and keeps nothing of it.
func (s *jsonStream) skip(first byte) error {
	_, err := s.value(first, 0)
	return err
}

// value reads the value that begins with this byte. It keeps so many levels of lists and objects, and texts as long as there is
// room.
func (s *jsonStream) value(first byte, levels int) (value, error) {
	s.room -= valueBytes
	kept := levels > 0 && s.room > 0
	switch first {
	case '{':
		v := value{kind: objectValue}
		err := s.object(kept, func(name string, first byte) error {
			part, err := s.value(first, levels-1)
			if s.room -= len(name); kept && s.room > 0 {
				v.names, v.parts = append(v.names, name), append(v.parts, part)
			} else {
				v.dropped = true
			}
			return err
		})
		return v, err
	case '[':
		v := value{kind: listValue}
		err := s.nested(']', func(first byte) error {
			part, err := s.value(first, levels-1)
			if kept && s.room > 0 {
				v.parts = append(v.parts, part)
			} else {
				v.dropped = true
			}
			return err
		})
		return v, err
	case '"':
		text, err := s.text(kept)
		s.room -= len(text)
		return value{kind: textValue, text: text}, err
	case 't':
		return value{literal: "true"}, s.literal("rue")
	case 'f':
		return value{literal: "false"}, s.literal("alse")
	case 'n':
		return value{literal: "null"}, s.literal("ull")
	}
	text, err := s.number(first)
	s.room -= len(text)
	return value{kind: numberValue, text: text}, err
}

// object reads the members of an object, after its brace. Names are kept only when named.
func (s *jsonStream) object(named bool, member func(name string, first byte) error) error {
	return s.nested('}', func(first byte) error {
		if first != '"' {
			return errNotJSON
		}
		name, err := s.text(named)
		if err != nil {
			return err
		}
		if c, err := s.next(); err != nil || c != ':' {
			return errNotJSON
		}
		if first, err = s.next(); err != nil {
			return err
		}
		return member(name, first)
	})
}

// nested reads the parts of a list or an object, up to the closing bracket.
func (s *jsonStream) nested(end byte, part func(first byte) error) error {
	if s.depth++; s.depth > maxNesting {
		return errNotJSON
	}
	defer func() { s.depth-- }()
	c, err := s.next()
	if err != nil || c == end {
		return err
	}
	for {
		if err := part(c); err != nil {
			return err
		}
		switch c, err = s.next(); {
		case err != nil:
			return err
		case c == end:
			return nil
		case c != ',':
			return errNotJSON
		}
		if c, err = s.next(); err != nil {
			return err
		}
	}
}
