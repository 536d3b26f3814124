package collect

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

func record(topic string, partition int32, offset int64) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Offset: offset}
}

func fetched(records ...*kgo.Record) kgo.Fetches {
	var out kgo.Fetches
	for _, r := range records {
		out = append(out, kgo.Fetch{Topics: []kgo.FetchTopic{{Topic: r.Topic, Partitions: []kgo.FetchPartition{{
			Partition: r.Partition, Records: []*kgo.Record{r},
		}}}}})
	}
	return out
}

// A partition is read up to its end; the last offset may be missing, as markers may, and what comes later is not taken.
func TestPartitionsEndWithTheirLastOffset(t *testing.T) {
	t.Parallel()
	left := offsetsByPartition{"a": {0: 3, 1: 1}, "b": {0: 2}}
	got := left.take(fetched(record("a", 0, 0), record("a", 0, 1), record("b", 0, 0), record("a", 1, 0)))
	require.Len(t, got, 4)
	require.Equal(t, offsetsByPartition{"a": {0: 3}, "b": {0: 2}}, left)
	got = left.take(fetched(record("a", 0, 2), record("a", 0, 3), record("a", 1, 1), record("b", 0, 5)))
	require.Len(t, got, 1)
	require.Empty(t, left)
}

func TestRecordsAsAHistoryHasThem(t *testing.T) {
	t.Parallel()
	r := record("crash.vendor_erp_sync_failed", 4, 9)
	r.Key, r.Headers = []byte("1"), []kgo.RecordHeader{{Key: "ce_id", Value: []byte("x")}}
	for value, want := range map[string]string{`{"a": 1}`: `{"a": 1}`, `{"a"`: `"{\"a\""`, "": `""`} {
		r.Value = []byte(value)
		require.Equal(t, history.Record{
			Topic: "vendor_erp_sync_failed", Partition: 4, Offset: 9, Timestamp: r.Timestamp.UTC(), Key: "1",
			Headers: map[string]string{"ce_id": "x"}, Value: json.RawMessage(want),
		}, recordOf(r, "crash."))
	}
}
