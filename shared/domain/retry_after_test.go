package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Retry-After: 9223372036854775808 was ignored, while one second less parked the order for 30 days; a date in the past was
// a wait that had ended.
func TestRetryAfter(t *testing.T) {
	at := func(d time.Duration) RetryAfter { return RetryAfter{At: ptr(noon.Add(d))} }
	most := RetryAfter{At: ptr(noon.Add(MaxRetryAfter)), Capped: true, limit: MaxRetryAfter}
	for header, want := range map[string]RetryAfter{
		"": {}, "soon": {}, "-1": {}, "1.5": {}, "+5": {}, "5 s": {}, "0x10": {}, "1e3": {}, "٣": {}, "60, 120": {},
		"0": at(0), " 120 ": at(2 * time.Minute), "007": at(7 * time.Second),
		"2592000": at(MaxRetryAfter), "2592001": most, "9999999999": most,
		"9223372036854775807": most, "9223372036854775808": most, "99999999999999999999999999": most,
		"Thu, 01 Jan 2026 12:00:30 GMT":    at(30 * time.Second),
		"Thursday, 01-Jan-26 12:00:30 GMT": at(30 * time.Second),
		"Thursday, 01-Jan-26 12:00:30 PST": {},
		"Thu Jan  1 12:00:30 2026":         at(30 * time.Second),
		"Thu, 01 Jan 2026 12:00:00 GMT":    at(0),
		"Thu, 01 Jan 2026 11:59:59 GMT":    {},
		"Thu, 01 Jan 1970 00:00:00 GMT":    {},
		"Sat, 31 Jan 2026 12:00:00 GMT":    at(MaxRetryAfter),
		"Sat, 31 Jan 2026 12:00:01 GMT":    most,
		"Fri, 31 Dec 9999 23:59:59 GMT":    most,
		"2026-01-01T12:00:30Z":             {},
	} {
		require.Equal(t, want, ParseRetryAfter(header, 0, noon), header)
	}
}

func TestACappedRetryAfterIsSaidInTheOrdersWords(t *testing.T) {
	long := make([]byte, 3*MaxErrorBytes)
	for i := range long {
		long[i] = 'x'
	}
	for body, want := range map[string]string{
		`{"error":"busy"}`: `busy; Retry-After is "9223372036854775808": the connector waits 30 days at most`,
		``:                 `HTTP 503 without a body; Retry-After is "9223372036854775808": the connector waits 30 days at most`,
	} {
		o := Classify(Answer{StatusCode: 503, RetryAfter: "9223372036854775808", Body: AnswerBodyOf([]byte(body))}, AnswerPolicy{}, false, noon)
		require.Equal(t, want, o.Error)
		require.Equal(t, noon.Add(MaxRetryAfter), *o.RetryAfter)
	}
	o := Classify(Answer{StatusCode: 503, RetryAfter: "9223372036854775808", Body: AnswerBodyOf(long)}, AnswerPolicy{}, false, noon)
	require.LessOrEqual(t, len(o.Error), MaxErrorBytes)
	require.Regexp(t, `x…; Retry-After is .* at most$`, o.Error)
	final := Classify(Answer{StatusCode: 403, RetryAfter: "9223372036854775808"}, AnswerPolicy{}, false, noon)
	require.Equal(t, "HTTP 403 without a body", final.Error, "nothing is waited for")
}

// A setting lowers the cap; no setting raises it above what the connector can keep.
func TestTheCapOfRetryAfterIsASetting(t *testing.T) {
	for header, c := range map[string]struct {
		limit, want time.Duration
		words       string
	}{
		"3600":                          {time.Hour, time.Hour, ""},
		"3601":                          {time.Hour, time.Hour, `Retry-After is "3601": the connector waits 1 hour at most`},
		"86401":                         {24 * time.Hour, 24 * time.Hour, `Retry-After is "86401": the connector waits 24 hours at most`},
		"9999999":                       {72 * time.Hour, 72 * time.Hour, `Retry-After is "9999999": the connector waits 3 days at most`},
		"91":                            {90 * time.Second, 90 * time.Second, `Retry-After is "91": the connector waits 1m30s at most`},
		"9999999999":                    {365 * 24 * time.Hour, MaxRetryAfter, `Retry-After is "9999999999": the connector waits 30 days at most`},
		"Fri, 02 Jan 2026 12:00:00 GMT": {time.Hour, time.Hour, `Retry-After is "Fri, 02 Jan 2026 12:00:00 GMT": the connector waits 1 hour at most`},
	} {
		got := ParseRetryAfter(header, c.limit, noon)
		require.Equal(t, noon.Add(c.want), *got.At, header)
		require.Equal(t, c.words, got.words(header))
	}
	o := Classify(Answer{StatusCode: 503, RetryAfter: "86401"}, AnswerPolicy{MaxRetryAfter: 24 * time.Hour}, false, noon)
	require.Equal(t, noon.Add(24*time.Hour), *o.RetryAfter)
}
