package outbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Row is one row of erp_outbox. Rows share memory, so nobody may change their bytes.
type Row struct {
	ID        int64
	Topic     string
	Key       []byte
	UUID      []byte
	Headers   []Header // the metadata, in the order of its names
	Payload   []byte
	CreatedAt time.Time
}

// Header is a name of the metadata and its value.
type Header struct {
	Key   string
	Value []byte
}

// Message returns the Watermill message that was published.
func (r Row) Message() *message.Message {
	msg := message.NewMessage(string(r.UUID), r.Payload)
	msg.Metadata = make(message.Metadata, len(r.Headers)+1)
	for _, h := range r.Headers {
		msg.Metadata.Set(h.Key, string(h.Value))
	}
	msg.Metadata.Set(MetadataPartitionKey, string(r.Key))
	return msg
}

// scanner makes rows. It copies their bytes into chunks, as a relay with a backlog reads a hundred thousand rows a second.
type scanner struct {
	row                Row
	topic, metadata    pgtype.DriverBytes
	key, uuid, payload copied
	into               []any // the above, for Scan
	free               []byte
	headers            []Header // the newest chunk of them
	names              map[string]string
	unquoted           []byte
}

const (
	byteChunk   = 64 << 10
	headerChunk = 1024
	maxHeaders  = 16  // of a row as a rule
	maxNames    = 100 // to remember
)

func newScanner() *scanner {
	s := &scanner{names: map[string]string{}}
	s.key.by, s.uuid.by, s.payload.by = s, s, s
	s.into = []any{&s.row.ID, &s.topic, &s.key, &s.uuid, &s.metadata, &s.payload, &s.row.CreatedAt}
	return s
}

func (s *scanner) scan(found pgx.CollectableRow) (Row, error) {
	if err := found.Scan(s.into...); err != nil {
		return Row{}, err
	}
	row := s.row
	row.Topic, row.Key, row.UUID, row.Payload = s.name(s.topic), s.key.bytes, s.uuid.bytes, s.payload.bytes
	var err error
	if row.Headers, err = s.decode(s.metadata); err != nil {
		return Row{}, fmt.Errorf("outbox row %d: decoding metadata: %w", row.ID, err)
	}
	return row, nil
}

// copied is a value that outlives its row of the result.
type copied struct {
	by    *scanner
	bytes []byte
}

// ScanBytes implements pgtype.BytesScanner.
func (c *copied) ScanBytes(v []byte) error {
	c.bytes = c.by.keep(v)
	return nil
}

// keep copies a value; nil stays nil.
func (s *scanner) keep(v []byte) []byte {
	switch {
	case len(v) == 0 || len(v) > byteChunk/8:
		return bytes.Clone(v)
	case len(v) > len(s.free):
		s.free = make([]byte, byteChunk)
	}
	n := copy(s.free, v)
	kept := s.free[:n:n]
	s.free = s.free[n:]
	return kept
}

// name returns the bytes as a text that there are few of.
func (s *scanner) name(of []byte) string {
	name, known := s.names[string(of)]
	if !known {
		name = string(of)
		if len(s.names) < maxNames {
			s.names[name] = name
		}
	}
	return name
}

// asV1 reads what was always read.
var asV1 = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func (s *scanner) decode(metadata []byte) ([]Header, error) {
	if string(metadata) == "{}" {
		return nil, nil
	}
	if cap(s.headers)-len(s.headers) < maxHeaders {
		s.headers = make([]Header, 0, headerChunk)
	}
	from := len(s.headers)
	if err := json.Unmarshal(metadata, (*headersOf)(s), asV1); err != nil {
		return nil, err
	}
	return inOrder(s.headers[from:len(s.headers):len(s.headers)]), nil
}

// headersOf adds the headers of one row to a scanner's.
type headersOf scanner

var errNotStrings = errors.New("it is not an object of strings")

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (h *headersOf) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s := (*scanner)(h)
	begin, err := dec.ReadToken()
	if err != nil || begin.Kind() == 'n' {
		return err
	}
	if begin.Kind() != '{' {
		return errNotStrings
	}
	for dec.PeekKind() == '"' {
		var of Header
		if err := s.unquote(dec); err != nil {
			return err
		}
		of.Key = s.name(s.unquoted)
		if err := s.unquote(dec); err != nil {
			return err
		}
		if of.Value = s.keep(s.unquoted); of.Key != MetadataPartitionKey {
			s.headers = append(s.headers, of)
		}
	}
	_, err = dec.ReadToken()
	return err
}

// unquote reads a string; null is an empty one.
func (s *scanner) unquote(dec *jsontext.Decoder) error {
	quoted, err := dec.ReadValue()
	if err != nil {
		return err
	}
	switch s.unquoted = s.unquoted[:0]; quoted.Kind() {
	case '"':
		s.unquoted, _ = jsontext.AppendUnquote(s.unquoted, quoted) // the error is about bytes that are no UTF-8: it has replaced them
		return nil
	case 'n':
		return nil
	default:
		return errNotStrings
	}
}

// inOrder sorts the headers by their names. Of those with the same name the last one counts.
func inOrder(headers []Header) []Header {
	byName := func(a, b Header) int { return cmp.Compare(a.Key, b.Key) }
	for i := 1; i < len(headers); i++ {
		if headers[i-1].Key >= headers[i].Key {
			slices.Reverse(headers)
			slices.SortStableFunc(headers, byName)
			return slices.CompactFunc(headers, func(a, b Header) bool { return a.Key == b.Key })
		}
	}
	return headers
}
