package config

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// SecretUse says where a secret goes, and so which characters it may have.
type SecretUse int

// The uses.
const (
	SecretKey   SecretUse = iota // signs, or logs in to Kafka
	SecretToken                  // goes in a header of HTTP, which takes ASCII only
)

// NewSecret is the secret that a variable or a file holds, without the line ends that editors and shells leave behind it. All
// else that nobody means to be part of a secret is refused: with it every call would be answered 401, or fail for a header
// that HTTP does not allow. The error names the character and its place, never the secret.
func NewSecret(text string, use SecretUse) (Secret, error) {
	text = withoutLineEnds(text)
	place := 0
	for at, r := range text {
		place++
		isEdge := at == 0 || at+utf8.RuneLen(r) == len(text)
		switch {
		case unicode.IsControl(r):
			return "", fmt.Errorf("holds %s as character %d; a secret is one line of visible characters", charName(r), place)
		case isEdge && (unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)):
			return "", fmt.Errorf("begins or ends with %s; take it off", charName(r))
		case use == SecretToken && r > unicode.MaxASCII:
			return "", fmt.Errorf("holds %s as character %d; a header of HTTP takes ASCII characters only", charName(r), place)
		}
	}
	return Secret(text), nil
}

// ErrSecretEmpty means that a file which should hold a secret is empty.
var ErrSecretEmpty = errors.New("is empty: write the secret into it")

// ReadSecret is NewSecret of a file's content.
func ReadSecret(file string, use SecretUse) (Secret, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", err
	}
	s, err := NewSecret(string(content), use)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s %w", file, err)
	case s == "":
		return "", fmt.Errorf("%s %w", file, ErrSecretEmpty)
	}
	return s, nil
}

// withoutLineEnds is the text without those at its end.
func withoutLineEnds(text string) string { return strings.TrimRight(text, "\r\n") }

var charNames = map[rune]string{
	0: "NULL", '\t': "TAB", '\n': "LINE FEED", '\r': "CARRIAGE RETURN", 0x1b: "ESCAPE", 0x7f: "DELETE", ' ': "SPACE",
	0xa0: "NO-BREAK SPACE", 0x200b: "ZERO WIDTH SPACE", 0x2028: "LINE SEPARATOR", 0xfeff: "BYTE ORDER MARK",
}

func charName(r rune) string {
	return strings.TrimSpace(fmt.Sprintf("U+%04X %s", r, charNames[r]))
}
