package domain

import (
	"strings"
	"unicode/utf8"
)

// KeepableText is s as valid UTF-8 without U+0000, which Postgres cannot keep.
func KeepableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func cut(s string) string { return Truncate(s, MaxErrorBytes) }

// Truncate is s as KeepableText, in at most so many bytes; what is cut off shows as an ellipsis.
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
