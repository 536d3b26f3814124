package kafka

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
)

// Record returns an event's record as it goes to the cluster, with headers in the order of their names.
func (c Config) Record(r event.Record) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+1)
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(r.Headers[name])})
	}
	headers = append(headers, kgo.RecordHeader{Key: event.HeaderUUID, Value: []byte(r.UUID)})
	return &kgo.Record{Topic: c.Topic(r.Topic), Key: []byte(r.Key), Value: r.Value, Headers: headers}
}

// Header returns the value of a record's header, or nil when there is none of that name.
func Header(r *kgo.Record, name string) []byte {
	for _, h := range r.Headers {
		if h.Key == name {
			return h.Value
		}
	}
	return nil
}
