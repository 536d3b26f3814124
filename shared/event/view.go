package event

import (
	"fmt"
	"strconv"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// View is a record of the log as a consumer reads it. It parses nothing until it is asked, so that a consumer pays only for
// what it uses. kafka.Config.Event makes one of a Kafka record, Metadata helps to make one of a Watermill message.
type View struct {
	Topic     string // without the prefix
	Key       []byte
	Value     []byte
	Headers   Headers
	Timestamp time.Time // when it was written to the log; zero where that is unknown
}

// Headers are the headers of a record.
type Headers interface {
	// Header is the value of the header with this name, nil when there is none.
	Header(name string) []byte
}

// Metadata are the headers of a Watermill message.
type Metadata map[string]string

// Header is the value of the metadata with this name, nil when there is none.
func (m Metadata) Header(name string) []byte {
	value, ok := m[name]
	if !ok {
		return nil
	}
	return []byte(value)
}

// ID is the record's ce_id. Like the other texts it is empty when the record has no such header.
func (v View) ID() string { return v.text(HeaderID) }

// Type is the record's ce_type.
func (v View) Type() string { return v.text(HeaderType) }

// Source is the record's ce_source.
func (v View) Source() string { return v.text(HeaderSource) }

// UUID is Watermill's message uuid.
func (v View) UUID() string { return v.text(HeaderUUID) }

// Traceparent is the trace that the record belongs to.
func (v View) Traceparent() string { return v.text(HeaderTraceparent) }

func (v View) text(header string) string { return string(v.Headers.Header(header)) }

// Time is the record's ce_time: when the fact occurred.
func (v View) Time() (time.Time, error) {
	value := v.Headers.Header(HeaderTime)
	if value == nil {
		return time.Time{}, fmt.Errorf("header %s is missing", HeaderTime)
	}
	t, err := time.Parse(time.RFC3339Nano, string(value))
	if err != nil {
		return time.Time{}, fmt.Errorf("header %s: %w", HeaderTime, err)
	}
	return domain.NormalizeTime(t), nil
}

// OccurredAt is Time; for a record without a readable ce_time it is when it was written to the log.
func (v View) OccurredAt() time.Time {
	if at, err := v.Time(); err == nil {
		return at
	}
	return domain.NormalizeTime(v.Timestamp)
}

// Due is when a parked retry may be handed on.
func (v View) Due() (time.Time, error) {
	value := v.Headers.Header(HeaderDue)
	if value == nil {
		return time.Time{}, fmt.Errorf("header %s is missing", HeaderDue)
	}
	ms, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("header %s: %w", HeaderDue, err)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// Version is the version in the ce_id; ok is false when it is not the id of a fact of this order and type. It tells which fact a
// record is also when its value cannot be read.
func (v View) Version() (version domain.Version, ok bool) {
	return VersionOf(v.ID(), string(v.Key), v.Type())
}

// Sync is the record's value, which every topic of syncs has; see DecodeSync.
func (v View) Sync() (Sync, error) { return DecodeSync(v.Value) }

// Facts are the record's value without the order; see DecodeFacts.
func (v View) Facts() (Facts, error) { return DecodeFacts(v.Value) }

// SyncOnly is the sync of the record's value, without what goes with it; see DecodeSyncOnly.
func (v View) SyncOnly() (domain.Sync, error) { return DecodeSyncOnly(v.Value) }
