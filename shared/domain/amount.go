package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// Limits of an amount's digits.
const (
	MaxAmountIntegerDigits  = 14
	MaxAmountFractionDigits = 8
)

// Amount is a decimal with the digits that came in, never a float. The zero value means absent: it counts as 0 in sums, and is null
// in JSON.
type Amount struct{ text string }

// maxExponent bounds the length of a number whose exponent is written out.
const maxExponent = 999

// ParseAmount reads a decimal in the syntax of JSON; leading zeros are allowed too. Exponents are written out: 1.5e2 is 150.
func ParseAmount(s string) (Amount, error) {
	d, ok := splitDecimal(s)
	if !ok {
		return Amount{}, fmt.Errorf("%.40q is not a decimal number", s)
	}
	whole, fraction := d.whole, d.fraction
	if d.exponent != "" {
		exponent, _ := strconv.Atoi(d.exponent) // Atoi gives the largest or smallest int for one that does not fit
		switch {
		case exponent > maxExponent:
			return Amount{}, tooLarge(s)
		case exponent < -maxExponent:
			return Amount{}, tooFine(s)
		}
		whole, fraction = shift(whole, fraction, exponent)
	}
	whole = strings.TrimLeft(whole, "0")
	switch {
	case len(whole) > MaxAmountIntegerDigits:
		return Amount{}, tooLarge(s)
	case len(fraction) > MaxAmountFractionDigits:
		return Amount{}, tooFine(s)
	}
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return Amount{text: d.sign + whole + fraction}, nil
}

// decimal is the parts of a number as text.
type decimal struct{ sign, whole, fraction, exponent string }

// splitDecimal is by hand, as an order has a dozen amounts, and a regular expression takes most of the time of each.
func splitDecimal(s string) (d decimal, ok bool) {
	rest := strings.TrimPrefix(s, "-")
	d.sign = s[:len(s)-len(rest)]
	if d.whole, rest = cutDigits(rest); d.whole == "" {
		return d, false
	}
	if after, has := strings.CutPrefix(rest, "."); has {
		if d.fraction, rest = cutDigits(after); d.fraction == "" {
			return d, false
		}
	}
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		exponent := rest[1:]
		unsigned := exponent
		if exponent != "" && (exponent[0] == '+' || exponent[0] == '-') {
			unsigned = exponent[1:]
		}
		number, after := cutDigits(unsigned)
		if number == "" {
			return d, false
		}
		d.exponent, rest = exponent[:len(exponent)-len(after)], after
	}
	return d, rest == ""
}

// cutDigits returns the digits that a text begins with, and what follows.
func cutDigits(s string) (number, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}

func tooLarge(s string) error {
	return fmt.Errorf("%.40q is too large: an amount has at most %d digits before the point", s, MaxAmountIntegerDigits)
}

// tooFine mostly comes of floats that PHP writes with serialize_precision=17: 29.949999999999999.
func tooFine(s string) error {
	return fmt.Errorf(`%.40q has more than %d digits after the point: round it to %d places, or send a text like "29.95" in place of a float`,
		s, MaxAmountFractionDigits, MaxAmountFractionDigits)
}

// shift moves the decimal point right by exponent places, or left when it is negative.
func shift(whole, fraction string, exponent int) (string, string) {
	if exponent >= 0 {
		fraction += strings.Repeat("0", max(0, exponent-len(fraction)))
		return whole + fraction[:exponent], fraction[exponent:]
	}
	places := -exponent
	whole = strings.Repeat("0", max(0, places-len(whole))) + whole
	point := len(whole) - places
	return whole[:point], whole[point:] + fraction
}

// String is the amount in plain decimal notation, 0 when it is absent.
func (a Amount) String() string {
	if a.text == "" {
		return "0"
	}
	return a.text
}

// IsZero reports whether the amount is absent, not whether it is 0. The name is that of encoding/json, for omitzero.
func (a Amount) IsZero() bool { return a.text == "" }

// Sign is -1, 0 or 1, like the number's; 0 when it is absent.
func (a Amount) Sign() int {
	switch {
	case !strings.ContainsAny(a.text, "123456789"):
		return 0
	case a.text[0] == '-':
		return -1
	default:
		return 1
	}
}

// Rat is the amount as an exact rational, for sums.
func (a Amount) Rat() *big.Rat {
	r, _ := new(big.Rat).SetString(a.String())
	return r
}

// maxUnitsDigits are the digits before the point of an amount that units gives, so that some dozens of them can be added.
const maxUnitsDigits = 9

// units is the amount in units of 10^-MaxAmountFractionDigits. ok is false for a large amount.
func (a Amount) units() (n int64, ok bool) {
	digits := strings.TrimPrefix(a.text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if len(whole) > maxUnitsDigits {
		return 0, false
	}
	for i := range len(whole) {
		n = n*10 + int64(whole[i]-'0')
	}
	for i := range MaxAmountFractionDigits {
		n *= 10
		if i < len(fraction) {
			n += int64(fraction[i] - '0')
		}
	}
	if len(digits) < len(a.text) {
		n = -n
	}
	return n, true
}

// MarshalJSON writes a JSON number with the digits that came in, or null for an amount that is absent.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.IsZero() {
		return []byte("null"), nil
	}
	return []byte(a.text), nil
}

// UnmarshalJSON reads a JSON number or a string that holds one. Null is absent.
func (a *Amount) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	s := string(b)
	if len(b) > 0 && b[0] == '"' {
		if len(b) > 1 && bytes.IndexByte(b, '\\') < 0 {
			s = s[1 : len(s)-1] // its bytes are what it means
		} else if err := json.Unmarshal(b, &s); err != nil {
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
