package deadletter_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
)

// with is the dead letter of the retry, with headers that somebody has changed; an empty one is taken out.
func with(t *testing.T, headers map[string]string) *kgo.Record {
	t.Helper()
	r := written(deadletter.Record(cluster, retry(t), deadletter.Cause{By: deadletter.ByDelayer, Reason: "no JSON"}))
	kept := r.Headers[:0]
	for _, h := range r.Headers {
		value, changed := headers[h.Key]
		switch {
		case !changed:
			kept = append(kept, h)
		case value != "":
			kept = append(kept, kgo.RecordHeader{Key: h.Key, Value: []byte(value)})
		}
	}
	r.Headers = kept
	return r
}

// Anybody may write to the topic. A place that cannot be one must not look like that of another record.
func TestADeadLetterWithoutAPlaceHasItsOwn(t *testing.T) {
	t.Parallel()
	l := deadletter.Read(cluster, with(t, nil))
	require.Equal(t, []any{"vendor_erp_sync_retry_64s", int32(4), int64(17)}, []any{l.Topic, l.Partition, l.Offset})
	for name, headers := range map[string]map[string]string{
		"no topic":                      {event.HeaderOriginTopic: ""},
		"the prefix alone":              {event.HeaderOriginTopic: "p."},
		"another connector's topic":     {event.HeaderOriginTopic: "q.vendor_erp_sync_due"},
		"no partition":                  {event.HeaderOriginPartition: ""},
		"a partition that is no number": {event.HeaderOriginPartition: "four"},
		"a partition that is too large": {event.HeaderOriginPartition: "4294967296"},
		"no offset":                     {event.HeaderOriginOffset: ""},
		"an offset that is too large":   {event.HeaderOriginOffset: "9223372036854775808"},
	} {
		l := deadletter.Read(cluster, with(t, headers))
		require.Equal(t, []any{"", int32(0), int64(5)}, []any{l.Topic, l.Partition, l.Offset}, name)
	}
}

func TestTimesThatCannotBeAreLeftOut(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{
		"2026-01-01T12:00:00.000Z": true, "": false, "noon": false, "0000-12-31T23:59:59Z": false, "9999-12-31T23:59:59Z": true, "9999-12-31T23:59:59-01:00": false,
	} {
		require.Equal(t, want, deadletter.Read(cluster, with(t, map[string]string{event.HeaderTime: value})).RecordAt != nil, "%q", value)
	}
	for value, want := range map[string]bool{
		"1767268860000": true, "": false, "soon": false, "-62135596800001": false, "253402300800000": false, "9223372036854775807": false,
	} {
		require.Equal(t, want, deadletter.Read(cluster, with(t, map[string]string{event.HeaderDue: value})).DueAt != nil, "%q", value)
	}
}

func TestEndedIsOnlyWhatSaysTrue(t *testing.T) {
	t.Parallel()
	r := written(deadletter.Record(cluster, retry(t), deadletter.Cause{By: deadletter.BySyncer, Ended: true}))
	require.True(t, deadletter.Read(cluster, r).Ended)
	for i := range r.Headers {
		if r.Headers[i].Key == event.HeaderDeadLetterEnded {
			r.Headers[i].Value = []byte("TRUE")
		}
	}
	require.False(t, deadletter.Read(cluster, r).Ended)
	require.False(t, deadletter.Read(cluster, with(t, nil)).Ended)
}
