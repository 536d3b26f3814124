package domain

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// DefaultSource is the shop of an event that names none.
const DefaultSource = "default"

// MaxIncrementIDBytes bounds the increment id of an order, so that keys and headers stay small. Magento's column has 50.
const MaxIncrementIDBytes = 128

var sourcePattern = regexp.MustCompile(`^[a-z0-9._-]{1,63}$`)

// OrderRef names an order everywhere: two shops may both have an order 1001.
type OrderRef struct {
	Source      string
	IncrementID string
}

var (
	incrementIDEscaper   = strings.NewReplacer("%", "%25", "/", "%2F")
	incrementIDUnescaper = strings.NewReplacer("%2F", "/", "%25", "%")
)

// Key is the Kafka key of the order, and the first part of event ids: the increment id alone for the default source, otherwise
// source/increment id. Percent and slash in an increment id are percent-encoded, so that two orders never have the same key.
func (r OrderRef) Key() string {
	id := incrementIDEscaper.Replace(r.IncrementID)
	if r.Source == DefaultSource {
		return id
	}
	return r.Source + "/" + id
}

// SourceOfKey returns the source in an order's key. It takes any key, also one that ParseKey refuses.
func SourceOfKey(key string) string {
	if source, _, found := strings.Cut(key, "/"); found {
		return source
	}
	return DefaultSource
}

// ParseKey is the inverse of Key.
func ParseKey(key string) (OrderRef, error) {
	source, id, found := strings.Cut(key, "/")
	if !found {
		source, id = DefaultSource, key
	}
	ref := OrderRef{Source: source, IncrementID: incrementIDUnescaper.Replace(id)}
	if err := ref.Validate(); err != nil {
		return OrderRef{}, fmt.Errorf("order key %q: %w", key, err)
	}
	if ref.Key() != key {
		return OrderRef{}, fmt.Errorf("order key %q is not in its canonical form %q", key, ref.Key())
	}
	return ref, nil
}

// Validate says what is wrong with the name of an order that somebody looks for. It also takes names that no new order may have (see
// ValidateIncrementID), so that orders with such names, accepted before, are found.
func (r OrderRef) Validate() error {
	return errors.Join(ValidateKnownSource(r.Source), ValidateKnownIncrementID(r.IncrementID))
}

// ValidateSource accepts the source of a new event. That is what ValidateKnownSource accepts, without "." and "..", which are no names
// in paths.
func ValidateSource(source string) error {
	if source == "." || source == ".." {
		return fmt.Errorf("source %q is no name in a path; give the shop another one", source)
	}
	return ValidateKnownSource(source)
}

// ValidateKnownSource accepts the source of a known order: 1 to 63 of a-z, 0-9, dot, underscore and hyphen.
func ValidateKnownSource(source string) error {
	if !sourcePattern.MatchString(source) {
		return fmt.Errorf("source %q must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'", source)
	}
	return nil
}

// ValidateKnownIncrementID accepts the increment id of a known order: 1 to MaxIncrementIDBytes bytes of UTF-8 without control
// characters. The log may hold such orders, as they were accepted under older rules.
func ValidateKnownIncrementID(id string) error {
	switch {
	case id == "":
		return errors.New("order_increment_id is required")
	case len(id) > MaxIncrementIDBytes:
		return fmt.Errorf("order_increment_id has %d bytes; at most %d are taken", len(id), MaxIncrementIDBytes)
	case !utf8.ValidString(id) || strings.ContainsFunc(id, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return errors.New("order_increment_id must be printable text")
	}
	return nil
}

// ValidateIncrementID accepts the increment id of a new order: text that a person can read, type and send in a path. With a character
// that nobody sees, it would be another order with the same number, which nobody finds.
func ValidateIncrementID(id string) error {
	switch c, where := HiddenCharacter(id); {
	case id == "", len(id) > MaxIncrementIDBytes, !utf8.ValidString(id):
		return ValidateKnownIncrementID(id)
	case where != "":
		return fmt.Errorf("order_increment_id %s %s, which nobody can see: send the number without it", where, CharacterName(c))
	case id == "." || id == "..":
		return fmt.Errorf("order_increment_id is %q, which is no name in a path, so nobody could ask for the order: give it another number", id)
	}
	return nil
}
