package config

import "log/slog"

// Secret is a value that never prints: it shows as stars, or as nothing when empty.
type Secret string

// String is stars, or empty when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "****"
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the value from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Reveal is the value itself; call it only where it leaves the process.
func (s Secret) Reveal() string { return string(s) }
