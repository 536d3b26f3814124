package event

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Header names of a record: CloudEvents 1.0 in Kafka binary mode, W3C trace context, Watermill's uuid, and ours.
const (
	HeaderSpecVersion = "ce_specversion"
	HeaderID          = "ce_id"
	HeaderSource      = "ce_source"
	HeaderType        = "ce_type"
	HeaderSubject     = "ce_subject"
	HeaderTime        = "ce_time"
	HeaderContentType = "content-type"
	HeaderTraceparent = "traceparent"
	HeaderUUID        = "_watermill_message_uuid"
	HeaderDue         = "due" // unix milliseconds, on parked and due retries only

	// Of dead letters: why, and where the record was.
	HeaderReason              = "dead_letter_reason"
	HeaderOriginTopic         = "dead_letter_topic"
	HeaderOriginPartition     = "dead_letter_partition"
	HeaderOriginOffset        = "dead_letter_offset"
	HeaderOriginRow           = "dead_letter_outbox_id" // in place of partition and offset: the row of the outbox that was never relayed
	HeaderDeadLetterBy        = "dead_letter_by"        // who could not use it
	HeaderDeadLetterReference = "dead_letter_reference" // true: the dead letter has not the content of the record
	HeaderDeadLetterEnded     = "dead_letter_ended"     // true: the sync's terminal event was written with the dead letter
)

// HeaderDeadLetterPrefix begins the names of the headers that a dead letter has in addition to those of its record.
const HeaderDeadLetterPrefix = "dead_letter_"

// MetadataPartitionKey is the metadata of a Watermill message with the record's key. It does not become a header.
const MetadataPartitionKey = "partition_key"

// TypeRetry is the ce_type of parked and due retries; every other type is its topic's name or the commerce event's type.
const TypeRetry = "vendor_erp_sync_retry"

// SourceConnector is the ce_source of facts that the connector itself states.
const SourceConnector = "/erpconnector"

// MaxEventIDBytes bounds the id of a commerce event.
const MaxEventIDBytes = 255

// Record is a record that is to be written, to the outbox or to Kafka. A View is one that was read.
type Record struct {
	Topic   string // without the prefix
	Key     string // the order's key
	UUID    string // Watermill's message uuid, derived from ce_id: a repeated record has the same
	Headers map[string]string
	Value   []byte
}

// uuidSpace is the namespace of the message uuids, itself the version 5 UUID of our ce_source under the URL namespace.
var uuidSpace = uuid.NewSHA1(uuid.NameSpaceURL, []byte(SourceConnector))

// newRecord makes a CloudEvent in binary mode. It continues the trace of traceparent, or starts a new one when that is empty.
func newRecord(topic, key, id, ceType, source string, at time.Time, traceparent string, value []byte) Record {
	return Record{
		Topic: topic, Key: key, UUID: MessageUUID(id), Value: value,
		Headers: map[string]string{
			HeaderSpecVersion: "1.0",
			HeaderID:          id,
			HeaderSource:      source,
			HeaderType:        ceType,
			HeaderSubject:     key,
			HeaderTime:        domain.NormalizeTime(at).Format("2006-01-02T15:04:05.000Z07:00"),
			HeaderContentType: "application/json",
			HeaderTraceparent: ChildTrace(traceparent),
		},
	}
}

// MessageUUID is Watermill's message uuid of the record with this ce_id.
func MessageUUID(ceID string) string { return uuid.NewSHA1(uuidSpace, []byte(ceID)).String() }

// CommerceID is the ce_id of an accepted commerce event.
func CommerceID(source, eventID string) string { return source + ":" + eventID }

// ID is the ce_id of a fact of a sync: key/version/type.
func ID(key string, v domain.Version, ceType string) string {
	return key + "/" + strconv.FormatInt(int64(v), 10) + "/" + ceType
}

// VersionOf is the version in the ce_id of a fact; ok is false when it is not the id of a fact of this order and type.
func VersionOf(ceID, key, ceType string) (v domain.Version, ok bool) {
	rest, ok := strings.CutPrefix(ceID, key+"/")
	number, _, _ := strings.Cut(rest, "/")
	n, err := strconv.ParseInt(number, 10, 64)
	v = domain.Version(n)
	return v, ok && err == nil && ID(key, v, ceType) == ceID
}

// ChildTrace makes a W3C traceparent with a new parent id. It is of the same trace as the parent, or of a new, sampled one when the
// parent is empty or malformed.
func ChildTrace(parent string) string {
	var random [24]byte
	_, _ = rand.Read(random[:]) // never fails: crypto/rand's documentation
	span := hex.EncodeToString(random[16:])
	if ValidTrace(parent) {
		return parent[:parentAt] + span + parent[flagsAt-1:]
	}
	return "00-" + hex.EncodeToString(random[:16]) + "-" + span + "-01"
}

// A traceparent of version 00 is 00-<trace>-<parent>-<flags>: 32, 16 and 2 hexadecimal digits (W3C Trace Context, section 3.2).
const (
	traceAt  = 3
	parentAt = traceAt + 32 + 1
	flagsAt  = parentAt + 16 + 1
)

// ValidTrace reports whether this is a traceparent that a trace can continue.
func ValidTrace(traceparent string) bool {
	if len(traceparent) != flagsAt+2 || traceparent[:traceAt] != "00-" || traceparent[parentAt-1] != '-' || traceparent[flagsAt-1] != '-' {
		return false
	}
	trace, parent, flags := traceparent[traceAt:parentAt-1], traceparent[parentAt:flagsAt-1], traceparent[flagsAt:]
	return isHex(trace) && isHex(parent) && isHex(flags) && !zeros(trace) && !zeros(parent)
}

// isHex reports whether these are hexadecimal digits as W3C writes them: none in upper case.
func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// zeros reports whether an id is all zeros, which makes it invalid in W3C Trace Context, section 3.2.2.
func zeros(id string) bool { return strings.Trim(id, "0") == "" }
