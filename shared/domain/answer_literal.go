package domain

import (
	"bufio"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// literal reads the rest of true, false or null.
func (s *jsonStream) literal(rest string) error {
	for i := range len(rest) {
		if c, err := s.in.ReadByte(); err != nil || c != rest[i] {
			return errNotJSON
		}
	}
	return nil
}

// text reads a string, after its quote.
func (s *jsonStream) text(keep bool) (string, error) {
	out := keeper{keep: keep}
	for {
		c, err := s.in.ReadByte()
		switch {
		case err != nil:
			return "", err
		case c == '"':
			return string(out.kept), nil
		case c < ' ':
			return "", errNotJSON
		case c != '\\':
			out.add(c)
		default:
			if err := s.escape(&out); err != nil {
				return "", err
			}
		}
	}
}

var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads what follows a backslash.
func (s *jsonStream) escape(out *keeper) error {
	c, err := s.in.ReadByte()
	if err != nil {
		return err
	}
	if c != 'u' {
		plain, known := escapes[c]
		if !known {
			return errNotJSON
		}
		out.add(plain)
		return nil
	}
	r, err := s.unit()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(r) {
		return s.pair(r, out)
	}
	out.addRune(r)
	return nil
}

// pair reads the second half of a surrogate pair. A half without the other becomes U+FFFD.
func (s *jsonStream) pair(first rune, out *keeper) error {
	if next, _ := s.in.Peek(2); string(next) != `\u` {
		out.addRune(utf8.RuneError)
		return nil
	}
	_, _ = s.in.Discard(2) // Peek has read them
	second, err := s.unit()
	if err != nil {
		return err
	}
	if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
		out.addRune(r)
		return nil
	}
	out.addRune(utf8.RuneError)
	if utf16.IsSurrogate(second) {
		return s.pair(second, out)
	}
	out.addRune(second)
	return nil
}

// unit reads the four hexadecimal digits of an escape.
func (s *jsonStream) unit() (r rune, err error) {
	for range 4 {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, err
		}
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' {
			return 0, errNotJSON
		}
		r = r<<4 | rune(digit)
	}
	return r, nil
}

// number reads a number. It ends where something else begins. A number at the end of a body, inside of an object, does not count, as
// its last digits may be missing.
func (s *jsonStream) number(first byte) (string, error) {
	n := numberReader{in: s.in, c: first, out: keeper{keep: true}}
	if !n.read() {
		return "", errNotJSON
	}
	if n.err == nil {
		return string(n.out.kept), s.in.UnreadByte()
	}
	if s.depth > 0 {
		return "", n.err
	}
	return string(n.out.kept), nil
}

type numberReader struct {
	in  *bufio.Reader
	c   byte // the next byte; 0 when there is none
	err error
	out keeper
}

// read reads a number by the grammar of JSON.
func (n *numberReader) read() (isNumber bool) {
	if n.c == '-' {
		n.advance()
	}
	if n.c == '0' {
		n.advance()
	} else if !n.digits() {
		return false
	}
	if n.c == '.' {
		n.advance()
		if !n.digits() {
			return false
		}
	}
	if n.c != 'e' && n.c != 'E' {
		return true
	}
	n.advance()
	if n.c == '+' || n.c == '-' {
		n.advance()
	}
	return n.digits()
}

// digits reads digits; any is false when there was none.
func (n *numberReader) digits() (any bool) {
	for ; '0' <= n.c && n.c <= '9'; any = true {
		n.advance()
	}
	return any
}

// advance keeps the byte and reads the next one.
func (n *numberReader) advance() {
	n.out.add(n.c)
	if n.c, n.err = n.in.ReadByte(); n.err != nil {
		n.c = 0
	}
}

// keeper keeps the start of a text.
type keeper struct {
	keep bool
	kept []byte
}

func (k *keeper) add(c byte) {
	if k.keep && len(k.kept) < maxKeptText {
		k.kept = append(k.kept, c)
	}
}

func (k *keeper) addRune(r rune) {
	if k.keep && len(k.kept) < maxKeptText {
		k.kept = utf8.AppendRune(k.kept, r)
	}
}
