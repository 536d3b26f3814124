package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// HiddenCharacter is the first character of a text that a reader cannot see, or cannot tell from another, and its place; where is
// empty when there is none. A space counts only at the ends.
func HiddenCharacter(text string) (c rune, where string) {
	at := strings.IndexFunc(text, invisible)
	switch last, size := utf8.DecodeLastRuneInString(text); {
	case at < 0 && strings.HasPrefix(text, " "):
		return ' ', "begins with"
	case at < 0 && strings.HasSuffix(text, " "):
		return ' ', "ends with"
	case at < 0:
		return 0, ""
	case at > 0 && at == len(text)-size:
		return last, "ends with"
	}
	c, _ = utf8.DecodeRuneInString(text[at:])
	if at == 0 {
		return c, "begins with"
	}
	return c, "contains"
}

// invisible reports whether nobody can see a character. Such are control characters, spaces other than U+0020, marks of direction,
// joiners, fillers, and what Unicode has not assigned or leaves to private use.
func invisible(c rune) bool {
	return !unicode.IsPrint(c) || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) || c == braillePatternBlank
}

const braillePatternBlank = 0x2800

// ControlCharacter is the first control character of a text: a terminal obeys it instead of showing it.
func ControlCharacter(text string) (c rune, found bool) {
	at := strings.IndexFunc(text, unicode.IsControl)
	if at < 0 {
		return 0, false
	}
	c, _ = utf8.DecodeRuneInString(text[at:])
	return c, true
}

// CharacterName is the number of a character and, for those that are often found in texts, its name in Unicode.
func CharacterName(c rune) string {
	name, known := characterNames[c]
	switch {
	case known:
	case unicode.IsControl(c):
		name = "(a control character)"
	default:
		return fmt.Sprintf("U+%04X", c)
	}
	return fmt.Sprintf("U+%04X %s", c, name)
}

var characterNames = map[rune]string{
	0x00: "NULL", 0x07: "BELL", 0x08: "BACKSPACE", '\t': "CHARACTER TABULATION", '\n': "LINE FEED", '\v': "LINE TABULATION", '\f': "FORM FEED",
	'\r': "CARRIAGE RETURN", 0x1B: "ESCAPE", ' ': "SPACE", 0x7F: "DELETE", 0x85: "NEXT LINE", 0x9B: "CONTROL SEQUENCE INTRODUCER",
	0xA0: "NO-BREAK SPACE", 0xAD: "SOFT HYPHEN", 0x034F: "COMBINING GRAPHEME JOINER", 0x061C: "ARABIC LETTER MARK",
	0x115F: "HANGUL CHOSEONG FILLER", 0x1160: "HANGUL JUNGSEONG FILLER", 0x1680: "OGHAM SPACE MARK", 0x180E: "MONGOLIAN VOWEL SEPARATOR",
	0x2000: "EN QUAD", 0x2001: "EM QUAD", 0x2002: "EN SPACE", 0x2003: "EM SPACE", 0x2004: "THREE-PER-EM SPACE", 0x2005: "FOUR-PER-EM SPACE",
	0x2006: "SIX-PER-EM SPACE", 0x2007: "FIGURE SPACE", 0x2008: "PUNCTUATION SPACE", 0x2009: "THIN SPACE", 0x200A: "HAIR SPACE",
	0x200B: "ZERO WIDTH SPACE", 0x200C: "ZERO WIDTH NON-JOINER", 0x200D: "ZERO WIDTH JOINER",
	0x200E: "LEFT-TO-RIGHT MARK", 0x200F: "RIGHT-TO-LEFT MARK", 0x2028: "LINE SEPARATOR", 0x2029: "PARAGRAPH SEPARATOR",
	0x202A: "LEFT-TO-RIGHT EMBEDDING", 0x202B: "RIGHT-TO-LEFT EMBEDDING", 0x202C: "POP DIRECTIONAL FORMATTING",
	0x202D: "LEFT-TO-RIGHT OVERRIDE", 0x202E: "RIGHT-TO-LEFT OVERRIDE", 0x202F: "NARROW NO-BREAK SPACE", 0x205F: "MEDIUM MATHEMATICAL SPACE",
	0x2060: "WORD JOINER", 0x2066: "LEFT-TO-RIGHT ISOLATE", 0x2067: "RIGHT-TO-LEFT ISOLATE", 0x2068: "FIRST STRONG ISOLATE",
	0x2069: "POP DIRECTIONAL ISOLATE", braillePatternBlank: "BRAILLE PATTERN BLANK", 0x3000: "IDEOGRAPHIC SPACE", 0x3164: "HANGUL FILLER",
	0xFE0E: "VARIATION SELECTOR-15", 0xFE0F: "VARIATION SELECTOR-16", 0xFEFF: "ZERO WIDTH NO-BREAK SPACE (a byte order mark)",
	0xFFA0: "HALFWIDTH HANGUL FILLER",
}
