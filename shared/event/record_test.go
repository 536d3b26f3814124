package event_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

func TestRecordOfAnotherSource(t *testing.T) {
	t.Parallel()
	ref := domain.OrderRef{Source: "b2b", IncrementID: "7/5%"}
	r := event.NewCommerce(event.Commerce{EventID: "evt-1", Type: event.OrderPlaced}, ref, []byte(`{}`), accepted, "")
	require.Equal(t, "b2b/7%2F5%25", r.Key)
	require.Equal(t, "b2b/7%2F5%25", r.Headers[event.HeaderSubject])
	require.Equal(t, "b2b:evt-1", r.Headers[event.HeaderID])
	require.Equal(t, "/shops/b2b", r.Headers[event.HeaderSource])
}

func TestTimesOfARecord(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 11, 30, 0, 999_999, time.FixedZone("CET", 3600))
	due := at.Add(2 * time.Minute).Truncate(time.Millisecond)
	v := event.Sync{Sync: domain.Sync{Source: domain.DefaultSource, OrderIncrementID: "1", Generation: 1}}
	r, err := event.NewRetry(v, due, event.Context{At: at})
	require.NoError(t, err)
	require.Equal(t, "2024-01-15T10:30:00.000Z", r.Headers[event.HeaderTime], "the milliseconds stay when they are nought")
	read := event.View{Headers: event.Metadata(r.Headers)}
	got, err := read.Time()
	require.NoError(t, err)
	require.Equal(t, domain.NormalizeTime(at), got)
	got, err = read.Due()
	require.NoError(t, err)
	require.Equal(t, due.UTC(), got)
}

// TestTiersOfTwoMinutes is the way of the retry in the golden files.
func TestTiersOfTwoMinutes(t *testing.T) {
	t.Parallel()
	now, due := accepted, accepted.Add(2*time.Minute+time.Millisecond)
	var way []string
	for topic := event.RetryTierFor(due, now); topic != event.TopicDue; topic = event.RetryTierFor(due, now) {
		way = append(way, topic)
		now = now.Add(min(delays()[topic], due.Sub(now)))
	}
	const tier = event.TypeRetry
	require.Equal(t, []string{tier + "_64s", tier + "_16s", tier + "_16s", tier + "_16s", tier + "_4s", tier + "_4s", tier + "_1s"}, way)
}

// A trace is continued by what the W3C calls a traceparent of version 00, and by nothing else.
func TestTraceparentsThatATraceCanContinue(t *testing.T) {
	t.Parallel()
	pattern := regexp.MustCompile(`^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)
	valid := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	child := event.ChildTrace(valid)
	require.Equal(t, []string{valid[:36], valid[52:]}, []string{child[:36], child[52:]})
	require.NotEqual(t, valid, child)
	for i := range len(valid) {
		for _, c := range []string{"", "0", "f", "g", "A", "-", "é", "0-"} {
			changed := valid[:i] + c + valid[i+1:]
			require.Equal(t, pattern.MatchString(changed), event.ValidTrace(changed), changed)
			require.Regexp(t, pattern, event.ChildTrace(changed))
		}
	}
	for _, zeros := range []string{"00-" + strings.Repeat("0", 32) + valid[35:], valid[:36] + strings.Repeat("0", 16) + "-01"} {
		require.False(t, event.ValidTrace(zeros), zeros)
	}
}
