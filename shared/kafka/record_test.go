package kafka_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

func TestEventReadsWhatRecordWrites(t *testing.T) {
	t.Parallel()
	cfg := kafka.Config{Prefix: "eu."}
	sent := event.Record{Topic: "t", Key: "k", UUID: "u", Headers: map[string]string{event.HeaderID: "i", event.HeaderType: "y"}, Value: []byte("v")}
	r := cfg.Record(sent)
	r.Timestamp = time.Unix(1, 0)
	require.Equal(t, "eu.t", r.Topic)
	got := cfg.Event(r)
	require.Equal(t, []any{"t", "k", "v", "u", "i", "y", r.Timestamp},
		[]any{got.Topic, string(got.Key), string(got.Value), got.UUID(), got.ID(), got.Type(), got.Timestamp})
	require.Empty(t, got.Traceparent())
	require.Equal(t, map[string]string{event.HeaderUUID: "u", event.HeaderID: "i", event.HeaderType: "y"}, kafka.Headers(r))
}

// A topic that is not the connector's has no prefix to take off.
func TestEventOfAForeignTopic(t *testing.T) {
	t.Parallel()
	require.Equal(t, "x", kafka.Config{Prefix: "prefix."}.Event(&kgo.Record{Topic: "x"}).Topic)
}

func TestOfHeadersWithOneNameTheMapHasTheLast(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}}}
	require.Equal(t, map[string]string{"a": "2"}, kafka.Headers(r))
	require.Equal(t, "1", string(kafka.Header(r, "a")))
	require.Nil(t, kafka.Header(r, "b"))
}

// Every consumer makes a view of every record, so it must cost nothing, and its due time as little as a number.
func TestAViewAllocatesNothing(t *testing.T) {
	cfg := kafka.Config{Prefix: "eu."}
	r := cfg.Record(event.Record{Topic: "t", Headers: map[string]string{event.HeaderDue: "1700000000000", event.HeaderTime: "2024-01-15T10:30:00.000Z"}})
	require.Zero(t, testing.AllocsPerRun(100, func() {
		v := cfg.Event(r)
		if _, err := v.Due(); err != nil {
			panic(err)
		}
		if _, err := v.Time(); err != nil {
			panic(err)
		}
	}))
}
