package domain

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// TextKind is a kind of text that people and programs give us: one line, with a limit in bytes that holds wherever it comes in.
type TextKind struct {
	Name     string // in the singular, for people
	Meaning  string
	MaxBytes int
}

// The kinds of texts. docs/limits.md is generated from them.
var (
	ReasonText     = TextKind{"reason", "why somebody asks, in an order's log or a setting's history", 500}
	ReferenceText  = TextKind{"reference", "what the ERP calls the order", MaxReferenceBytes}
	KeyText        = TextKind{"idempotency key", "the key that a callback carries back", 255}
	StatusText     = TextKind{"status text", "the status of a callback", 500}
	WhoText        = TextKind{"name", "who asks: a token's or a user's name", 128}
	SettingText    = TextKind{"setting", "a setting's value, as it is written", 2000}
	MockText       = TextKind{"text for the mock ERP", "in its faults and in mock-update-stock", 255}
	TextKinds      = []TextKind{ReasonText, ReferenceText, KeyText, StatusText, WhoText, SettingText, MockText}
	errNotUTF8     = errors.New("is not valid UTF-8")
	errTextTooLong = errors.New("is too long")
)

// Check says what is wrong with a text of the kind. The words follow the name of the text: "has 600 bytes; …".
func (k TextKind) Check(text string) error {
	if len(text) > k.MaxBytes {
		return tooLongError{len(text), k.MaxBytes}
	}
	return PlainText(text)
}

// tooLongError is an errTextTooLong with the length.
type tooLongError struct{ bytes, max int }

func (e tooLongError) Error() string {
	return fmt.Sprintf("has %d bytes; at most %d are taken", e.bytes, e.max)
}

func (tooLongError) Is(target error) bool { return target == errTextTooLong }

// IsTooLong reports whether a text was refused because of its length.
func IsTooLong(err error) bool { return errors.Is(err, errTextTooLong) }

// Fit makes any text one that the kind takes. It is for texts from machines, which nobody could correct.
func (k TextKind) Fit(text string) string { return Truncate(Printable(text), k.MaxBytes) }

// PlainText refuses what is no line of text: bytes that are no UTF-8, and control characters. Postgres cannot keep U+0000, and a
// terminal obeys the others.
func PlainText(text string) error {
	if !utf8.ValidString(text) {
		return errNotUTF8
	}
	for _, r := range text {
		if isControl(r) {
			return fmt.Errorf("contains the control character U+%04X; remove it", r)
		}
	}
	return nil
}

// isControl reports whether the character is a control character or ends a line.
func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// KeepableText is s in valid UTF-8 and without U+0000, which Postgres cannot keep.
func KeepableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func truncate(s string) string { return Truncate(s, MaxErrorBytes) }

// Truncate is s as KeepableText in at most so many bytes. An ellipsis shows that something was cut off.
func Truncate(s string, maxBytes int) string {
	s = KeepableText(s)
	if len(s) <= maxBytes {
		return s
	}
	end := maxBytes - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
