package event_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
)

// delays is the delay of each retry tier by its topic.
func delays() map[string]time.Duration {
	all := map[string]time.Duration{}
	for _, r := range event.RetryTiers {
		all[r.Topic] = r.Delay
	}
	return all
}

func drawTime(t *rapid.T) time.Time {
	return accepted.Add(time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "now")))
}

func TestEachRetryTierWaitsFourTimesTheOneBefore(t *testing.T) {
	t.Parallel()
	var seconds []time.Duration
	for _, r := range event.RetryTiers {
		seconds = append(seconds, r.Delay/time.Second)
		require.Equal(t, fmt.Sprintf("%s_%ds", event.TypeRetry, r.Delay/time.Second), r.Topic)
	}
	require.Equal(t, []time.Duration{1, 4, 16, 64, 256, 1024, 4096}, seconds)
}

func TestRungForNeverPassesTheDueTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := drawTime(t)
		left := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(4*time.Hour)).Draw(t, "left"))
		topic := event.RetryTierFor(now.Add(left), now)
		require.Equal(t, left <= 0, topic == event.TopicDue, "due exactly when the time has come")
		if left <= 0 {
			return
		}
		delay, known := delays()[topic]
		require.True(t, known)
		if left < time.Second {
			require.Equal(t, time.Second, delay)
			return
		}
		require.LessOrEqual(t, delay, left)
		for _, longer := range event.RetryTiers {
			require.False(t, longer.Delay > delay && longer.Delay <= left, "%s fits, too", longer.Topic)
		}
	})
}

// TestRetriesGoDownToDue follows a retry that leaves each tier after its delay, or when it is due.
func TestRetriesGoDownToDue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := drawTime(t)
		left := time.Duration(rapid.Int64Range(1, int64(4*time.Hour)).Draw(t, "left"))
		due := now.Add(left)
		longest := event.RetryTiers[len(event.RetryTiers)-1].Delay
		maxTiers := int(left/longest) + 3*(len(event.RetryTiers)-1) + 1 // below the longest it comes to each tier three times; in the last second once more
		last := longest
		forwards := 0
		for topic := event.RetryTierFor(due, now); topic != event.TopicDue; topic = event.RetryTierFor(due, now) {
			delay := delays()[topic]
			require.LessOrEqual(t, delay, last, "never up again")
			last = delay
			now = now.Add(min(delay, due.Sub(now)))
			forwards++
			require.LessOrEqual(t, forwards, maxTiers)
		}
		require.Equal(t, due, now, "handed on when it is due, never before")
	})
}

var traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// validTrace is W3C Trace Context, section 3.2: ids of zeros only are invalid.
func validTrace(s string) bool {
	return traceparent.MatchString(s) && strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

func TestChildTraceIsValidWhateverTheParent(t *testing.T) {
	t.Parallel()
	parents := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}`),
		rapid.StringMatching(`0[01]-(0{32}|[0-9a-fA-F]{31,33})-(0{16}|[0-9a-f]{16})-[0-9a-f]{2}\n?`),
	)
	rapid.Check(t, func(t *rapid.T) {
		parent := parents.Draw(t, "parent")
		child := event.ChildTrace(parent)
		require.True(t, validTrace(child), child)
		if !validTrace(parent) {
			require.Equal(t, "-01", child[52:], "a new trace is sampled")
			require.NotContains(t, parent, child[3:35], "and has an id of its own")
			return
		}
		require.Equal(t, parent[:35], child[:35], "the same trace")
		require.Equal(t, parent[52:], child[52:], "the same flags")
		require.NotEqual(t, parent[36:52], child[36:52], "a span of its own")
	})
}

func TestChildTraceOfParentsThatAreNone(t *testing.T) {
	t.Parallel()
	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for name, parent := range map[string]string{
		"none":                    "",
		"a trace id of zeros":     "00-" + strings.Repeat("0", 32) + "-" + span + "-01",
		"a span id of zeros":      "00-" + trace + "-" + strings.Repeat("0", 16) + "-01",
		"letters in upper case":   "00-" + strings.ToUpper(trace) + "-" + span + "-01",
		"a version we don't know": "01-" + trace + "-" + span + "-01",
		"a line after it":         "00-" + trace + "-" + span + "-01\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := event.ChildTrace(parent)
			require.True(t, validTrace(child), child)
			require.NotContains(t, child, trace)
		})
	}
}
