package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Symptom: the number of attempts alone said when an order has failed. Enough of them to outlast a weekend kept others for a month.
func TestWhenARetryIsGivenUp(t *testing.T) {
	t.Parallel()
	request := Sync{Generation: 2, MaxAttempts: 9, CreatedAt: noon.Add(-24 * time.Hour), UpdatedAt: noon, Version: RequestVersion(2, 1)}
	retry := Sync{
		Generation: 2, MaxAttempts: 9, Attempts: 2, CreatedAt: noon.Add(-24 * time.Hour), UpdatedAt: noon.Add(5 * time.Minute),
		RequestedAt: &noon, LastAttemptAt: new(noon.Add(5 * time.Minute)), Version: AttemptVersion(2, 2, PhaseAfter),
	}
	older := retry
	older.RequestedAt = nil
	last := retry
	last.Attempts = 8
	busy := Outcome{Kind: OutcomeRetryable, Code: ErrorUnavailable}
	asksForMore := busy
	asksForMore.RetryAfter = new(noon.Add(2 * time.Hour))
	for name, c := range map[string]struct {
		sync     Sync
		outcome  Outcome
		horizon  time.Duration
		at       time.Duration // of the answer, after the request
		terminal ErrorCode     // empty: a retry follows
		from     *time.Time    // with a retry: from when the next one counts
	}{
		"no horizon":                              {retry, busy, 0, 300 * time.Hour, "", nil},
		"the next attempt is due in time":         {retry, busy, time.Hour, 52 * time.Minute, "", &noon},
		"it is due a moment too late":             {retry, busy, time.Hour, 52*time.Minute + time.Millisecond, ErrorGivenUp, nil},
		"the first answer comes too late":         {request, busy, time.Hour, 2 * time.Hour, ErrorGivenUp, nil},
		"a request counts from its release":       {request, busy, time.Hour, 58 * time.Minute, "", &noon},
		"the ERP asks for more than is left":      {retry, asksForMore, time.Hour, time.Minute, ErrorGivenUp, nil},
		"the attempts end first":                  {last, busy, time.Hour, time.Minute, ErrorUnavailable, nil},
		"a final answer is one":                   {retry, Outcome{Kind: OutcomeFinal, Code: ErrorRejected}, time.Hour, 2 * time.Hour, ErrorRejected, nil},
		"parked before the setting: its last one": {older, busy, time.Hour, 57 * time.Minute, "", older.LastAttemptAt},
		"parked before it, and too late":          {older, busy, time.Hour, 58 * time.Minute, ErrorGivenUp, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Decide(c.sync, c.outcome, RetryPolicy{BaseDelay: time.Minute, GiveUpAfter: c.horizon}, noon.Add(c.at), 0)
			require.Equal(t, c.outcome.Code, d.After.ErrorCode, "after_send says what the ERP answered")
			if c.terminal == "" {
				require.Nil(t, d.Terminal)
				require.Equal(t, c.from, d.After.RequestedAt)
				return
			}
			require.Nil(t, d.Retry)
			require.Equal(t, []any{Failed, c.terminal, c.sync.Attempts + 1}, []any{d.Terminal.Status, d.Terminal.ErrorCode, d.Terminal.Attempts})
			require.Nil(t, d.After.RequestedAt)
			require.Nil(t, d.Terminal.RequestedAt)
		})
	}
}

// A success counts however late it comes, and a first attempt is always made.
func TestTheTimeEndsRetriesOnly(t *testing.T) {
	t.Parallel()
	p, late := RetryPolicy{BaseDelay: time.Minute, GiveUpAfter: time.Hour}, noon.Add(100*time.Hour)
	waited := Sync{Generation: 1, MaxAttempts: 5, UpdatedAt: noon, Version: RequestVersion(1, 0)}
	require.True(t, p.MayBegin(waited, late))
	require.Equal(t, Success, Decide(waited, Outcome{Kind: OutcomeSuccess}, p, late, 0).Terminal.Status)

	retry := waited
	retry.Attempts, retry.RequestedAt, retry.Doubtful = 1, &noon, true
	require.True(t, p.MayBegin(retry, noon.Add(time.Hour)))
	require.False(t, p.MayBegin(retry, noon.Add(time.Hour+1)))
	require.True(t, RetryPolicy{}.MayBegin(retry, late))
	require.True(t, GivenUp(retry, late).Doubtful, "a resync asks the ERP first")
	require.Greater(t, GivenUp(retry, late).Version, Sending(retry, late).Version,
		"a process that was killed may have announced the attempt: the order stood at in_progress for ever")
}

// Symptom: an order in doubt was asked for without end, as a look-up without an answer uses up no attempt.
func TestALookupIsGivenUpToo(t *testing.T) {
	t.Parallel()
	p := RetryPolicy{BaseDelay: time.Minute, GiveUpAfter: time.Hour, LookUp: "/{idempotency_key}"}
	s := Sync{Generation: 1, MaxAttempts: 5, UpdatedAt: noon, Version: RequestVersion(1, 0)}
	later, due := Postponed(s, Answer{StatusCode: 503}, p, noon.Add(30*time.Minute), 0)
	require.Equal(t, []any{noon.Add(31 * time.Minute), noon}, []any{*due, *later.RequestedAt})
	end, due := Postponed(later, Answer{StatusCode: 503}, p, noon.Add(time.Hour), 0)
	require.Nil(t, due)
	require.Equal(t, []any{Failed, ErrorGivenUp, 0, true, AttemptVersion(1, 1, PhaseTerminal)}, []any{end.Status, end.ErrorCode, end.Attempts, end.Doubtful, end.Version})
}

// However the ERP fails: no attempt is due later than the horizon, none is more than the maximum, the chain ends, and with more
// attempts left than it used it says that it was given up.
func TestNoAttemptBeginsAfterTheHorizon(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := RetryPolicy{
			BaseDelay:   time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "base")),
			MaxDelay:    time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "cap")),
			GiveUpAfter: time.Duration(rapid.Int64Range(1, int64(100*time.Hour)).Draw(t, "horizon")),
			Jitter:      rapid.Float64Range(0, 1).Draw(t, "jitter"),
		}
		s := Sync{Generation: 1, MaxAttempts: rapid.IntRange(1, 60).Draw(t, "attempts"), UpdatedAt: noon, Version: RequestVersion(1, 0)}
		now, ends := noon, noon.Add(p.GiveUpAfter)
		for calls := 1; ; calls++ {
			require.LessOrEqual(t, calls, s.MaxAttempts)
			require.True(t, p.MayBegin(s, now))
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "took")))
			o := Outcome{Kind: OutcomeRetryable, Code: ErrorTimeout}
			if after := rapid.Int64Range(0, int64(20*time.Hour)).Draw(t, "after"); after > int64(10*time.Hour) {
				o.RetryAfter = new(now.Add(time.Duration(after)))
			}
			d := Decide(s, o, p, now, rapid.Float64Range(0, 0.99).Draw(t, "random"))
			if d.Terminal != nil {
				require.Equal(t, d.Terminal.Attempts < s.MaxAttempts, d.Terminal.ErrorCode == ErrorGivenUp)
				return
			}
			require.False(t, d.Retry.After(ends))
			require.False(t, d.Retry.Before(now))
			s, now = d.After, *d.Retry
		}
	})
}

// The table of docs/erp.md: how long the attempts of an order last.
func TestHowLongTheAttemptsLast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attempts  int
		base, top time.Duration
		lasts     time.Duration
	}{
		{5, time.Minute, 0, 30 * time.Minute},
		{8, time.Minute, 0, 4*time.Hour + 14*time.Minute},
		{11, time.Minute, 0, 34*time.Hour + 6*time.Minute},
		{12, time.Minute, 0, 68*time.Hour + 14*time.Minute},
		{13, time.Minute, 0, 136*time.Hour + 30*time.Minute},
		{81, time.Minute, time.Hour, 76*time.Hour + 2*time.Minute},
		{200, time.Minute, time.Hour, 195*time.Hour + 2*time.Minute},
	} {
		p, sum := RetryPolicy{BaseDelay: c.base, MaxDelay: c.top}, time.Duration(0)
		for n := 1; n < c.attempts; n++ {
			sum += Due(n, nil, p, noon, 0).Sub(noon)
		}
		require.Equal(t, c.lasts, sum, "%d attempts from %s up to %s", c.attempts, c.base, c.top)
	}
}
