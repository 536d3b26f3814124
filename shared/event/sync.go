package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	fastjson "github.com/go-json-experiment/json/v1"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Sync is the value of every record about a sync. Only Order, Payload, Response and Error may hold personal data.
type Sync struct {
	Sync     domain.Sync     `json:"sync"`
	Order    json.RawMessage `json:"order,omitempty"`    // the snapshot as the shop sent it
	Warnings []string        `json:"warnings,omitempty"` // requests only: what may be wrong with the order
	NotSent  []string        `json:"not_sent,omitempty"` // requests only: what of the order the ERP is not sent, and why
	Payload  *string         `json:"payload,omitempty"`  // the exact bytes sent, as text
	Response *Response       `json:"response,omitempty"`
	TookMS   *int64          `json:"took_ms,omitempty"` // after_send only: how long the call of the ERP took, in milliseconds
	Error    *string         `json:"error,omitempty"`
}

// Facts are a Sync without the order, which is half of most records. To decode them takes half the time.
type Facts struct {
	Sync     domain.Sync `json:"sync"`
	Warnings []string    `json:"warnings,omitempty"`
	NotSent  []string    `json:"not_sent,omitempty"`
	Payload  *string     `json:"payload,omitempty"`
	Response *Response   `json:"response,omitempty"`
	TookMS   *int64      `json:"took_ms,omitempty"`
	Error    *string     `json:"error,omitempty"`
}

// Response is the ERP's answer, or a callback's body.
type Response struct {
	Status    int               `json:"status"` // HTTP status; 0 in a callback, which has none
	Headers   map[string]string `json:"headers,omitempty"`
	Body      string            `json:"body"`                // at most domain.MaxResponseBytes
	Truncated bool              `json:"truncated,omitempty"` // the body was longer
	Reference *string           `json:"reference,omitempty"` // what the ERP called the order in a success; in the body it may come after the part that is kept
}

// Context is what a record takes over from its cause.
type Context struct {
	Traceparent string
	At          time.Time // becomes ce_time
	OrderIsRead bool      // the order is that of a record which DecodeSync has read, so it is copied as it is
}

// NewSync is the record of a fact about a sync on the given topic; its ce_type is the topic's name.
func NewSync(topic string, v Sync, c Context) (Record, error) { return newSync(topic, topic, v, c) }

// NewRequest is the record of a request or a release, with the order and the remarks on it.
func NewRequest(s domain.Sync, order json.RawMessage, r domain.Remarks, c Context) (Record, error) {
	return NewSync(TopicRequested, Sync{Sync: s, Order: order, Warnings: r.Warnings, NotSent: r.NotSent}, c)
}

// NewRetry is the record that parks a retry in the retry topic for its due time, or in _due when that has passed.
func NewRetry(v Sync, due time.Time, c Context) (Record, error) {
	r, err := newSync(RetryTierFor(due, c.At), TypeRetry, v, c)
	if err != nil {
		return Record{}, err
	}
	r.Headers[HeaderDue] = strconv.FormatInt(due.UnixMilli(), 10)
	return r, nil
}

// NewNote is the record of something that was said about a sync and changes nothing: it is on the timeline only. The same text again
// has the same ce_id.
func NewNote(v Sync, text string, c Context) (Record, error) { return newUnversioned(v, text, c) }

// NewDeadLetter is the record of the fact that an order's record became a dead letter, or was sent back. text names the dead letter
// and what was done: the facts about one record have the same version.
func NewDeadLetter(v Sync, text string, c Context) (Record, error) { return newUnversioned(v, text, c) }

// newUnversioned is a record that has no version of its own. A digest of the text makes its ce_id unlike the others.
func newUnversioned(v Sync, text string, c Context) (Record, error) {
	r, err := newSync(TopicCallback, TopicCallback, v, c)
	if err != nil {
		return Record{}, err
	}
	sum := sha256.Sum256([]byte(text))
	return newRecord(r.Topic, r.Key, r.Headers[HeaderID]+"/"+hex.EncodeToString(sum[:8]), TopicCallback, SourceConnector, c.At, c.Traceparent, r.Value), nil
}

// newSync is the record of a sync on a topic; the ce_type is another one only for retries.
func newSync(topic, ceType string, v Sync, c Context) (Record, error) {
	key := v.Sync.Ref().Key()
	value, err := encode(v, c.OrderIsRead)
	if err != nil {
		return Record{}, fmt.Errorf("encoding %s of order %s: %w", ceType, key, err)
	}
	return newRecord(topic, key, ID(key, v.Sync.Version, ceType), ceType, SourceConnector, c.At, c.Traceparent, value), nil
}

// encoding is as domain.EncodeJSON writes, but escapes no character that may stand in JSON as it is. It needs two thirds of the time, as
// it reads once what is JSON already: the order, in each of its records.
var encoding = jsonv2.JoinOptions(fastjson.DefaultOptionsV1(), jsontext.EscapeForHTML(false), jsontext.EscapeForJS(false))

// decoding is as encoding/json reads, but for the words of errors, and for what is left of a value that cannot be read. For these two
// encoding/json looks through the value before it reads it, which is a third of the time.
var decoding = jsonv2.JoinOptions(fastjson.DefaultOptionsV1(), fastjson.ReportErrorsWithLegacySemantics(false))

// DecodeSync reads the value of a record about a sync and checks what every consumer relies on. Each consumer reads each record, so it
// takes the decoder that encoding/json is to have one day, with today's rules: it needs half of the time, as it reads the value once.
func DecodeSync(value []byte) (Sync, error) {
	var v Sync
	if err := decode(value, &v, &v.Sync); err != nil {
		return Sync{}, err
	}
	return v, nil
}

// DecodeFacts is DecodeSync for who needs no order. It refuses the same values.
func DecodeFacts(value []byte) (Facts, error) {
	var v Facts
	if err := decode(value, &v, &v.Sync); err != nil {
		return Facts{}, err
	}
	return v, nil
}

// decode reads a value; s is the sync in it.
func decode[T any](value []byte, into *T, s *domain.Sync) error {
	if jsonv2.Unmarshal(value, into, decoding) != nil {
		*into = *new(T)
		if err := fastjson.Unmarshal(value, into); err != nil { // in the words of encoding/json
			return decodingError(err)
		}
	}
	return check(*s)
}

// DecodeSyncOnly reads and checks the sync alone. It stands first in the value, so order, payload and response, which are
// nearly all of it, are not read, and nothing is said of them.
func DecodeSyncOnly(value []byte) (domain.Sync, error) {
	d := json.NewDecoder(bytes.NewReader(value))
	for range 2 { // the brace, the first name
		token, err := d.Token()
		if err != nil {
			return domain.Sync{}, decodingError(err)
		}
		if token == "sync" {
			var s domain.Sync
			if err := d.Decode(&s); err != nil {
				return domain.Sync{}, decodingError(err)
			}
			if err := check(s); err != nil {
				return domain.Sync{}, err
			}
			return s, nil
		}
	}
	v, err := DecodeSync(value) // of a writer that has another order
	return v.Sync, err
}

func decodingError(err error) error { return fmt.Errorf("decoding the record's value: %w", err) }

// check holds a sync to what every consumer relies on.
func check(s domain.Sync) error {
	switch {
	case s.SyncID <= 0:
		return errors.New("sync.sync_id must be positive")
	case s.Generation <= 0 || s.Version.Generation() != s.Generation:
		return fmt.Errorf("sync.version %d is not of generation %d", s.Version, s.Generation)
	case s.Status == "":
		return errors.New("sync.status is missing")
	}
	return s.Ref().Validate()
}
