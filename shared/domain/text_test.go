package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// U+0000 in a reason was answered with 503 at one door, and at another with 200 and a dead letter; a reference of 900 kB was
// taken by hand and refused from the ERP.
func TestTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                          "",
		"asked by the shop: größer": "",
		"a\x00b":                    "contains the control character U+0000; remove it",
		"two\nlines":                "contains the control character U+000A; remove it",
		"\x1b[31mred":               "contains the control character U+001B; remove it",
		"a\u009bb":                  "contains the control character U+009B; remove it",
		"a\u2028b":                  "contains the control character U+2028; remove it",
		"a\xffb":                    "is not valid UTF-8",
		strings.Repeat("ü", 250):    "",
		strings.Repeat("ü", 251):    "has 502 bytes; at most 500 are taken",
	} {
		err := domain.ReasonText.Check(text)
		if want == "" {
			require.NoError(t, err, "%q", text)
			continue
		}
		require.EqualError(t, err, want, "%q", text)
		require.Equal(t, strings.Contains(want, "bytes"), domain.IsTooLong(err))
	}
	for _, k := range domain.TextKinds {
		require.NoError(t, k.Check(strings.Repeat("x", k.MaxBytes)), k.Name)
		require.Error(t, k.Check(strings.Repeat("x", k.MaxBytes+1)), k.Name)
		require.NoError(t, k.Check(k.Fit("a\x00b\n"+strings.Repeat("ü", k.MaxBytes))), k.Name)
	}
}

// An escape in an event id reached the terminal as it was, and could clear it, or print what was never there.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain größer 😀":      "plain größer 😀",
		"\x1b]0;title\x07red": `\x1b]0;title\ared`,
		"a\nb\tc\r":           `a\nb\tc\r`,
		"\u202egro.moc":       `\u202egro.moc`,
		"a\u200bb\u00a0":      `a\u200bb\u00a0`,
		"\u009b31m":           `\u009b31m`,
		"a\xffb":              `a\xffb`,
		"\uFFFD":              "\uFFFD",
		"\x00":                `\x00`,
	} {
		require.Equal(t, want, domain.Printable(text))
		require.NoError(t, domain.PlainText(domain.Printable(text)))
	}
	require.Equal(t, "a\\x1b\n\tb\\r\n", domain.PrintableLines("a\x1b\n\tb\r\n"))
}
