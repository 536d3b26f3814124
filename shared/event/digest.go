package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Digest is the same for a repeated event, and another one for a changed event. The order of members, white space, escapes and
// exponents do not count, as jsonb changes them.
func Digest(body []byte) [sha256.Size]byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var value any
	_ = dec.Decode(&value) // accept has checked the body
	canonical, _ := domain.EncodeJSON(withoutExponents(value))
	return sha256.Sum256(canonical)
}

// withoutExponents writes out the exponents of all numbers, as jsonb does.
func withoutExponents(v any) any {
	switch v := v.(type) {
	case json.Number:
		if amount, err := domain.ParseAmount(v.String()); strings.ContainsAny(v.String(), "eE") && err == nil {
			return amount
		}
	case []any:
		for i := range v {
			v[i] = withoutExponents(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = withoutExponents(v[name])
		}
	}
	return v
}
