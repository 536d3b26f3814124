package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is a text that others wrote as a person may see it on a terminal: what is no printable character stands there as
// its escape, as Go writes it (\x1b, \n, \u202e), so that nothing is obeyed, hidden or turned around.
func Printable(text string) string {
	if isPrintable(text) {
		return text
	}
	var b strings.Builder
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			_, _ = fmt.Fprintf(&b, `\x%02x`, text[at])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(fmt.Sprintf("%+q", r), "'"))
		}
		at += size
	}
	return b.String()
}

func isPrintable(text string) bool {
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRuneInString(text[at:])
		if (r == utf8.RuneError && size == 1) || !unicode.IsPrint(r) {
			return false
		}
		at += size
	}
	return true
}

// PrintableLines is Printable for a text of several lines, which stay lines, as tabs stay tabs.
func PrintableLines(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		end := strings.IndexAny(text, "\n\t")
		if end < 0 {
			end = len(text)
		}
		b.WriteString(Printable(text[:end]))
		if end < len(text) {
			b.WriteByte(text[end])
			end++
		}
		text = text[end:]
	}
	return b.String()
}
