package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestWhichAnswersHoldAllCallers(t *testing.T) {
	t.Parallel()
	const why = "the ERP asked to wait by Retry-After"
	for name, c := range map[string]struct {
		answer Answer
		want   Hold
	}{
		"429 in seconds":             {Answer{StatusCode: 429, RetryAfter: "120"}, Hold{noon.Add(2 * time.Minute), why}},
		"503 by a date":              {Answer{StatusCode: 503, RetryAfter: "Thu, 01 Jan 2026 12:00:30 GMT"}, Hold{noon.Add(30 * time.Second), why}},
		"another status":             {Answer{StatusCode: 500, RetryAfter: "120"}, Hold{}},
		"a success":                  {Answer{StatusCode: 202, RetryAfter: "120"}, Hold{}},
		"no answer":                  {Answer{RetryAfter: "120"}, Hold{}},
		"without the header":         {Answer{StatusCode: 429}, Hold{}},
		"no seconds":                 {Answer{StatusCode: 429, RetryAfter: "0"}, Hold{}},
		"nonsense":                   {Answer{StatusCode: 429, RetryAfter: "soon"}, Hold{}},
		"a date in the past":         {Answer{StatusCode: 503, RetryAfter: "Thu, 01 Jan 2026 11:59:59 GMT"}, Hold{}},
		"as long as may be":          {Answer{StatusCode: 429, RetryAfter: "86400"}, Hold{noon.Add(24 * time.Hour), why}},
		"longer than may be":         {Answer{StatusCode: 429, RetryAfter: "86401"}, Hold{noon.Add(24 * time.Hour), why + `; Retry-After is "86401": the connector waits 24 hours at most`}},
		"a date that is too far off": {Answer{StatusCode: 503, RetryAfter: "Fri, 02 Jan 2026 12:00:01 GMT"}, Hold{noon.Add(24 * time.Hour), why + `; Retry-After is "Fri, 02 Jan 2026 12:00:01 GMT": the connector waits 24 hours at most`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, HoldOf(c.answer, 24*time.Hour, noon))
		})
	}
	require.False(t, Hold{}.Holds(noon))
	h := Hold{Until: noon}
	require.True(t, h.Holds(noon.Add(-1)))
	require.False(t, h.Holds(noon), "exactly until then")
	require.Equal(t, noon.Add(time.Second+time.Millisecond), HoldOf(Answer{StatusCode: 429, RetryAfter: "1"}, time.Hour, noon.Add(1)).Until, "never a part of a millisecond early")
}

// In whatever order processes hear of holds, all keep the latest.
func TestTheLatestHoldCounts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h Hold
		latest := time.Time{}
		for _, s := range rapid.SliceOf(rapid.IntRange(1, 1000)).Draw(t, "seconds") {
			until := noon.Add(time.Duration(s) * time.Second)
			h, latest = h.With(Hold{Until: until}), later(latest, until)
		}
		require.Equal(t, latest, h.Until)
		require.Equal(t, h, h.With(Hold{}))
	})
}
