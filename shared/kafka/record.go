package kafka

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
)

// Record returns an event's record as it goes to the cluster, with headers in the order of their names.
func (c Config) Record(r event.Record) *kgo.Record {
	size := len(r.Key) + len(r.UUID)
	names := make([]string, 0, 12) // more than a record has
	for name, value := range r.Headers {
		names, size = append(names, name), size+len(value)
	}
	slices.Sort(names)
	texts := make([]byte, 0, size) // key and headers have one allocation
	bytesOf := func(s string) []byte {
		begin := len(texts)
		texts = append(texts, s...)
		return texts[begin:len(texts):len(texts)]
	}
	headers := make([]kgo.RecordHeader, 0, len(names)+1)
	for _, name := range names {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: bytesOf(r.Headers[name])})
	}
	headers = append(headers, kgo.RecordHeader{Key: event.HeaderUUID, Value: bytesOf(r.UUID)})
	return &kgo.Record{Topic: c.Topic(r.Topic), Key: bytesOf(r.Key), Value: r.Value, Headers: headers}
}

// Event is a record of the cluster as its consumers read it. It copies and parses nothing.
func (c Config) Event(r *kgo.Record) event.View {
	return event.View{
		Topic: strings.TrimPrefix(r.Topic, c.Prefix), Key: r.Key, Value: r.Value, Headers: (*headers)(r), Timestamp: r.Timestamp,
	}
}

// headers makes a record's headers those of an event.View. A pointer in an interface allocates nothing.
type headers kgo.Record

// Header is the value of the header with this name.
func (h *headers) Header(name string) []byte { return Header((*kgo.Record)(h), name) }

// Header returns the value of a record's header, or nil when there is none of that name.
func Header(r *kgo.Record, name string) []byte {
	for _, h := range r.Headers {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}

// Headers are all headers of a record. Of those with the same name the last one counts.
func Headers(r *kgo.Record) map[string]string {
	all := make(map[string]string, len(r.Headers))
	for _, h := range r.Headers {
		all[h.Key] = string(h.Value)
	}
	return all
}
