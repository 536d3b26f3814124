package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Limits of an amount's digits.
const (
	MaxAmountIntegerDigits  = 14
	MaxAmountFractionDigits = 8
)

// Amount is a decimal with the digits that came in, never a float. The zero value is absent: it prints as 0.
type Amount struct{ text string }

var amountPattern = regexp.MustCompile(`^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,3}))?$`)

var errAmountSize = fmt.Errorf("an amount has at most %d digits before and %d after the point",
	MaxAmountIntegerDigits, MaxAmountFractionDigits)

// ParseAmount reads a decimal in JSON's number syntax (leading zeros allowed). Exponents are written out: 1.5e2 is 150.
func ParseAmount(s string) (Amount, error) {
	m := amountPattern.FindStringSubmatch(s)
	if m == nil {
		return Amount{}, fmt.Errorf("%.40q is not a decimal number", s)
	}
	whole, fraction := m[2], m[3]
	if m[4] != "" {
		exponent, err := strconv.Atoi(m[4])
		if err != nil {
			return Amount{}, fmt.Errorf("%.40q is not a decimal number", s)
		}
		whole, fraction = shift(whole, fraction, exponent)
	}
	whole = strings.TrimLeft(whole, "0")
	if len(whole) > MaxAmountIntegerDigits || len(fraction) > MaxAmountFractionDigits {
		return Amount{}, errAmountSize
	}
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return Amount{text: m[1] + whole + fraction}, nil
}

// shift moves the decimal point right by exponent places, or left when it is negative.
func shift(whole, fraction string, exponent int) (string, string) {
	if exponent >= 0 {
		fraction += strings.Repeat("0", max(0, exponent-len(fraction)))
		return whole + fraction[:exponent], fraction[exponent:]
	}
	places := -exponent
	whole = strings.Repeat("0", max(0, places-len(whole))) + whole
	cut := len(whole) - places
	return whole[:cut], whole[cut:] + fraction
}

// String is the amount in plain decimal notation.
func (a Amount) String() string {
	if a.text == "" {
		return "0"
	}
	return a.text
}

// IsZero reports whether the amount is absent (not whether it is nought).
func (a Amount) IsZero() bool { return a.text == "" }

// Rat is the amount as an exact rational, for sums.
func (a Amount) Rat() *big.Rat {
	r, _ := new(big.Rat).SetString(a.String())
	return r
}

// MarshalJSON writes a JSON number with the digits that came in.
func (a Amount) MarshalJSON() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalJSON reads a JSON number or a string that holds one. Null is absent.
func (a *Amount) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		if s == "" {
			return errors.New("an amount must not be an empty string")
		}
	}
	parsed, err := ParseAmount(s)
	if err != nil {
		return err
	}
	*a = parsed
	return nil
}
