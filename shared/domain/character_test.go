package domain

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Projected: such numbers were taken as other orders, which nobody could look up.
func TestIncrementIDsAreWhatAPersonCanRead(t *testing.T) {
	t.Parallel()
	const unseen = ", which nobody can see: send the number without it"
	for id, want := range map[string]string{
		"000000123":                  "",
		"A/1%2 b#ä":                  "",
		"№ 12—漢字":                    "",
		"...":                        "",
		".a":                         "",
		"\u0645\u0631\u0628-1":       "",
		"":                           "order_increment_id is required",
		" 1001":                      "order_increment_id begins with U+0020 SPACE" + unseen,
		"1001 ":                      "order_increment_id ends with U+0020 SPACE" + unseen,
		" ":                          "order_increment_id begins with U+0020 SPACE" + unseen,
		"\t1001":                     "order_increment_id begins with U+0009 CHARACTER TABULATION" + unseen,
		"1001\n":                     "order_increment_id ends with U+000A LINE FEED" + unseen,
		"\u00a01001":                 "order_increment_id begins with U+00A0 NO-BREAK SPACE" + unseen,
		"10\u00a001":                 "order_increment_id contains U+00A0 NO-BREAK SPACE" + unseen,
		"10\u200b01":                 "order_increment_id contains U+200B ZERO WIDTH SPACE" + unseen,
		"\ufeff1001":                 "order_increment_id begins with U+FEFF ZERO WIDTH NO-BREAK SPACE (a byte order mark)" + unseen,
		"1001\u200f":                 "order_increment_id ends with U+200F RIGHT-TO-LEFT MARK" + unseen,
		"\u202e1001":                 "order_increment_id begins with U+202E RIGHT-TO-LEFT OVERRIDE" + unseen,
		"10\x1b[2J":                  "order_increment_id contains U+001B ESCAPE" + unseen,
		"10\x7f":                     "order_increment_id ends with U+007F DELETE" + unseen,
		"10\u00811":                  "order_increment_id contains U+0081 (a control character)" + unseen,
		"1\u30001":                   "order_increment_id contains U+3000 IDEOGRAPHIC SPACE" + unseen,
		"1\u31641":                   "order_increment_id contains U+3164 HANGUL FILLER" + unseen,
		"1\u28001":                   "order_increment_id contains U+2800 BRAILLE PATTERN BLANK" + unseen,
		"1\ufe0f":                    "order_increment_id ends with U+FE0F VARIATION SELECTOR-16" + unseen,
		"1\ue0001":                   "order_increment_id contains U+E000" + unseen,
		".":                          `order_increment_id is ".", which is no name in a path, so nobody could ask for the order: give it another number`,
		"..":                         `order_increment_id is "..", which is no name in a path, so nobody could ask for the order: give it another number`,
		"1\xff":                      "order_increment_id must be printable text",
		strings.Repeat("1", 129):     "order_increment_id has 129 bytes; at most 128 are taken",
		strings.Repeat("ä", 64) + "": "",
	} {
		err := ValidateIncrementID(id)
		if want == "" {
			require.NoError(t, err, "%q", id)
			continue
		}
		require.EqualError(t, err, want, "%q", id)
	}
}

// Orders that were accepted under such numbers stay readable: their records decode, their keys parse.
func TestOrdersOfOldNumbersAreStillFound(t *testing.T) {
	t.Parallel()
	for _, ref := range []OrderRef{{"default", " 1001"}, {"default", "10\u00a001"}, {"shop-b", ".."}, {"..", "1001\u200b"}, {"default", "\ufeff1001"}} {
		require.NoError(t, ref.Validate())
		parsed, err := ParseKey(ref.Key())
		require.NoError(t, err)
		require.Equal(t, ref, parsed)
	}
}

func TestSourcesAreNamesInPaths(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"default": "", "shop-b.example_1": "", "...": "",
		".":  `source "." is no name in a path; give the shop another one`,
		"..": `source ".." is no name in a path; give the shop another one`,
		"A":  `source "A" must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'`,
	} {
		err := ValidateSource(source)
		if want == "" {
			require.NoError(t, err, source)
			continue
		}
		require.EqualError(t, err, want)
	}
}

// What a new order may be called is a part of what a known one may be.
func TestNewIncrementIDsAreVisible(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.String().Draw(t, "id")
		if ValidateIncrementID(id) != nil {
			return
		}
		require.NoError(t, ValidateKnownIncrementID(id))
		require.Equal(t, strings.TrimSpace(id), id)
		for _, c := range id {
			require.True(t, c == ' ' || unicode.IsGraphic(c) && !unicode.IsSpace(c), "%q", c)
		}
	})
}

func TestCharactersAreNamed(t *testing.T) {
	t.Parallel()
	for c := range characterNames {
		require.True(t, c == ' ' || invisible(c), "%U", c)
	}
	c, found := ControlCharacter("a\x1b[2J")
	require.True(t, found)
	require.Equal(t, "U+001B ESCAPE", CharacterName(c))
	_, found = ControlCharacter("evt-ä\u00a0\u200b")
	require.False(t, found)
}
