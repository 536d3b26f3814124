package relay

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// The relay's records are those that every other writer makes, though it makes them of rows.
func TestRowsBecomeTheRecordsOfTheirEvents(t *testing.T) {
	t.Parallel()
	cfg := kafka.Config{Prefix: "eu."}
	s := &session{r: New(Params{Kafka: cfg}), topics: map[string]string{}}
	rows := []outbox.Row{
		{ID: 1, Topic: "a", Key: []byte("k"), UUID: []byte("u1"), Headers: []outbox.Header{{Key: "ce_id", Value: []byte("1")}, {Key: "ce_type", Value: []byte("t")}}, Payload: []byte("v1")},
		{ID: 2, Topic: "b", Key: []byte("l"), UUID: []byte("u2"), Payload: []byte{}},
		{ID: 3, Topic: "a", Key: []byte("m"), UUID: []byte("u3"), Payload: []byte("v3")},
		{ID: 4, Topic: "a", Key: []byte("k"), UUID: []byte("u4"), Headers: []outbox.Header{{Key: "ce_id", Value: []byte("4")}}, Payload: []byte("v4")},
	}
	s.r.refused[3] = "too large"
	records := s.records(rows)
	require.Len(t, records, len(rows))
	require.Greater(t, cap(records), len(rows), "the position goes with them")
	for i, row := range rows {
		if row.ID == 3 {
			require.Equal(t, "eu."+event.TopicDeadLetter, records[i].Topic)
			require.Equal(t, "too large", string(kafka.Header(records[i], event.HeaderReason)))
			continue
		}
		require.Equal(t, cfg.Record(outbox.FromMessage(row.Topic, row.Message())), records[i])
		records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: "x"}) // as a hook of the client may do
	}
	require.Equal(t, "4", string(records[3].Headers[0].Value))
}
