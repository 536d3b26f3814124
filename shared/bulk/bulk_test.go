package bulk

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/syncs"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestWhatAPlanMustSay(t *testing.T) {
	t.Parallel()
	all := failedOf("")
	for name, c := range map[string]struct {
		plan Plan
		want []string // places
	}{
		"a_resync":                         {Plan{Command: Resync, Filter: all}, nil},
		"no_orders":                        {Plan{Command: Resync}, []string{"/sync_ids"}},
		"too_many_ids":                     {Plan{Command: Resync, SyncIDs: make([]int64, MaxSyncIDs+1)}, []string{"/sync_ids"}},
		"a_new_key_without_a_reason":       {Plan{Command: Resync, NewKey: true, Filter: all}, []string{"/reason"}},
		"a_new_key_for_a_cancellation":     {Plan{Command: Cancel, NewKey: true, Reason: "why", Filter: all}, []string{"/newKey"}},
		"a_cancellation_without_a_reason":  {Plan{Command: Cancel, Filter: all}, []string{"/reason"}},
		"a_settlement_without_a_reason":    {Plan{Command: Settle, Filter: all}, []string{"/reason"}},
		"send_now_without_a_reason":        {Plan{Command: SendNow, Filter: all}, []string{"/reason"}},
		"a_canary_for_a_settlement":        {Plan{Command: Settle, Reason: "why", Canary: 1, Filter: all}, []string{"/canary"}},
		"a_canary_that_is_too_large":       {Plan{Command: Resync, Canary: MaxCanary + 1, Filter: all}, []string{"/canary"}},
		"a_reason_without_room_for_an_id":  {Plan{Command: Resync, Reason: fmt.Sprintf("%0*d", maxReasonBytes+1, 0), Filter: all}, []string{"/reason"}},
		"a_reason_that_fills_what_it_may":  {Plan{Command: Resync, Reason: fmt.Sprintf("%0*d", maxReasonBytes, 0), Filter: all}, nil},
		"a_reason_that_nobody_should_keep": {Plan{Command: Resync, Reason: "a\nb", Filter: all}, []string{"/reason"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var places []string
			for _, w := range c.plan.Check() {
				places = append(places, w.Pointer)
			}
			require.Equal(t, c.want, places)
		})
	}
}

// A reason of the longest kind still fits behind the largest number of a job.
func TestAReasonFitsBehindAnyJobsNumber(t *testing.T) {
	t.Parallel()
	j := Job{ID: 1<<63 - 1, Reason: fmt.Sprintf("%0*d", maxReasonBytes, 0)}
	require.NoError(t, domain.ReasonText.Check(j.reason()))
}

func TestAPreviewCountsAndDoesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 12, domain.Failed)
	b.orders("outlet", 101, 3, domain.Failed)
	b.orders("default", 201, 2, domain.Success)
	p, err := b.store.Preview(t.Context(), Plan{Command: Resync, Filter: &syncs.Filter{Source: "default"}}, "jane")
	require.NoError(t, err)
	require.EqualValues(t, 14, p.Orders)
	require.False(t, p.AtLeast)
	require.Equal(t, []Value{{"EUR", "147.00", 14}}, p.Value)
	require.Equal(t, []Refusal{{domain.StateSuccess, 2}}, p.Refusals)
	require.Len(t, p.Sample, sampleSize)
	require.Equal(t, b.clock.Add(TokenLife).Truncate(time.Minute), p.ExpiresAt.Truncate(time.Minute))
	p, err = b.store.Preview(t.Context(), Plan{Command: Resync, SyncIDs: []int64{1, 2, 1, 101, 9999}}, "jane")
	require.NoError(t, err)
	require.EqualValues(t, 3, p.Orders)
	require.Equal(t, 1, p.Unknown)
	p, err = b.store.Preview(t.Context(), Plan{Command: Resync, SyncIDs: []int64{1, 101}, Source: "outlet"}, "jane")
	require.NoError(t, err)
	require.EqualValues(t, 1, p.Orders, "another shop's order is unknown")
	require.Empty(t, b.commands())
}

// Beyond what a preview looks at, orders are counted only where counts are kept.
func TestAPreviewOfMoreThanItLooksAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.maxLooked, b.store.lookTime = 2*lookedPage, testkit.Patience
	b.orders("default", 1, 1600, domain.Failed)
	for _, c := range []struct {
		filter  syncs.Filter
		n       int64
		atLeast bool
	}{
		{*failedOf("default"), 1600, false},
		{syncs.Filter{ErrorGroup: rejected.ID()}, 1600, false},
		{syncs.Filter{Error: "no such sku Z9", Statuses: []domain.Status{domain.Failed}}, 1600, false},
		{syncs.Filter{AttemptsFrom: 1}, 2 * lookedPage, true},
	} {
		p, err := b.store.Preview(t.Context(), Plan{Command: Resync, Filter: &c.filter}, "jane")
		require.NoError(t, err)
		require.Equal(t, c.n, p.Orders)
		require.Equal(t, c.atLeast, p.AtLeast)
		require.Equal(t, 2*lookedPage, p.LookedAt)
	}
	b.store.lookTime = 0
	p, err := b.store.Preview(t.Context(), Plan{Command: Resync, Filter: &syncs.Filter{AttemptsFrom: 1}}, "jane")
	require.NoError(t, err)
	require.Equal(t, lookedPage, p.LookedAt, "its time is over")
	b.exec(`UPDATE vendor_erp_sync_counted SET offsets = -1`)
	p, err = b.store.Preview(t.Context(), Plan{Command: Resync, Filter: failedOf("")}, "jane")
	require.NoError(t, err)
	require.True(t, p.AtLeast, "the counts are not ready")
}

// The pace is that of as many calls at once as are allowed, each as long as the newest ones took.
func TestHowLongItTakesAtTodaysPace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 50, domain.Failed)
	estimate := func() Estimate {
		p, err := b.store.Preview(t.Context(), Plan{Command: Resync, Filter: failedOf("")}, "jane")
		require.NoError(t, err)
		return p.Estimate
	}
	require.Equal(t, Estimate{}, estimate(), "nobody knows")
	b.settings.Change(func(s *setting.Settings) { s.MaxInFlight = 4 })
	b.orders("default", 101, 3, domain.Success)
	b.exec(`INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
		SELECT $1::timestamptz + n * interval '2 seconds', 't', 0, sync_id * 2 + n, sync_id, 8 + n, CASE n WHEN 0 THEN $2 ELSE $3 END, 'success', 1
		FROM vendor_erp_sync CROSS JOIN generate_series(0, 1) AS n WHERE sync_id > 100`, day, event.TopicBeforeSend, event.TopicAfterSend)
	require.Equal(t, Estimate{PerSecond: 2, Seconds: 25}, estimate())
	b.settings.Change(func(s *setting.Settings) { s.MaxInFlight = 10_000 })
	require.Equal(t, Estimate{PerSecond: 50, Seconds: 1}, estimate(), "no more than may be under way at once")
	b.exec(`UPDATE vendor_erp_sync_event SET occurred_at = $1`, day)
	require.Equal(t, Estimate{PerSecond: commandsPerSecond, Seconds: 1}, estimate(), "no more than a job gives out")
	b.settings.Change(func(s *setting.Settings) { s.Rate = 0.5 })
	require.Equal(t, Estimate{PerSecond: 0.5, Seconds: 100}, estimate())
	b.settings.Change(func(s *setting.Settings) { s.Enabled = false })
	require.Contains(t, estimate().WaitsFor, "until the connector is turned on")
	p, err := b.store.Preview(t.Context(), Plan{Command: Settle, Reason: "why", Filter: failedOf("")}, "jane")
	require.NoError(t, err)
	require.Equal(t, Estimate{PerSecond: commandsPerSecond, Seconds: 1}, p.Estimate, "what sends nothing waits for no ERP")
}

func TestATokenStartsOneJobWithinItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 3, domain.Failed)
	p, err := b.store.Preview(t.Context(), Plan{Command: Resync, Filter: failedOf("")}, "jane")
	require.NoError(t, err)
	no := errors.New("no")
	_, err = b.store.Start(t.Context(), p.Token, "joe", func(Plan) error { return no })
	require.ErrorIs(t, err, no)
	j, err := b.store.Start(t.Context(), p.Token, "joe", anyone)
	require.NoError(t, err, "who may not start it uses no token up")
	require.Equal(t, "joe", j.CreatedBy)
	_, err = b.store.Start(t.Context(), p.Token, "joe", anyone)
	require.ErrorIs(t, err, ErrToken, "it is used up")
	_, err = b.store.Start(t.Context(), "bulk_guess", "joe", anyone)
	require.ErrorIs(t, err, ErrToken)

	p, err = b.store.Preview(t.Context(), Plan{Command: Resync, Filter: failedOf("")}, "jane")
	require.NoError(t, err)
	b.clock = b.clock.Add(TokenLife + time.Second)
	_, err = b.store.Start(t.Context(), p.Token, "joe", anyone)
	require.ErrorIs(t, err, ErrToken, "its time is over")
}

func TestNoMoreJobsThanMayBeOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var last Job
	for range MaxOpenJobs {
		last = b.start(Plan{Command: Resync, Filter: failedOf("")})
	}
	p, err := b.store.Preview(t.Context(), Plan{Command: Resync, Filter: failedOf("")}, "jane")
	require.NoError(t, err)
	_, err = b.store.Start(t.Context(), p.Token, "jane", anyone)
	require.ErrorIs(t, err, ErrTooMany)
	_, err = b.store.Change(t.Context(), last.ID, Stop, "jane", "")
	require.NoError(t, err)
	_, err = b.store.Start(t.Context(), p.Token, "jane", anyone)
	require.NoError(t, err, "the token was not used up")
}

func TestJobsAreListedByShopAndState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first := b.start(Plan{Command: Resync, Source: "outlet", Filter: failedOf("outlet")})
	second := b.start(Plan{Command: Resync, Filter: failedOf("")})
	third := b.start(Plan{Command: Cancel, Reason: "why", SyncIDs: []int64{1}})
	_, err := b.store.Change(t.Context(), third.ID, Pause, "jane", "not now")
	require.NoError(t, err)
	ids := func(l Listing) (out []int64, more bool) {
		jobs, more, err := b.store.List(t.Context(), l)
		require.NoError(t, err)
		for _, j := range jobs {
			out = append(out, j.ID)
		}
		return out, more
	}
	got, more := ids(Listing{Limit: 2})
	require.Equal(t, []int64{third.ID, second.ID}, got)
	require.True(t, more)
	got, more = ids(Listing{Limit: 2, Before: second.ID})
	require.Equal(t, []int64{first.ID}, got)
	require.False(t, more)
	got, _ = ids(Listing{Limit: 9, Source: "outlet"})
	require.Equal(t, []int64{first.ID}, got)
	got, _ = ids(Listing{Limit: 9, State: Paused})
	require.Equal(t, []int64{third.ID}, got)
}

func TestWhenAJobEnds(t *testing.T) {
	t.Parallel()
	now := day.Add(time.Minute)
	j := Job{State: Running, Since: day, Selected: 100, Succeeded: 40, Failed: 5, Refused: 5, DoneThen: 20}
	require.Equal(t, day.Add(2*time.Minute+40*time.Second), *j.EstimatedEnd(now), "thirty a minute, and fifty are left")
	j.State = Paused
	require.Nil(t, j.EstimatedEnd(now))
	require.Nil(t, Job{State: Running, Since: day, Selected: 9, Succeeded: 3, DoneThen: 3}.EstimatedEnd(now))
}

// An e-mail address is personal data: it is kept until the orders are selected, and never shown.
func TestNoCustomerStaysInAJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.start(Plan{Command: Resync, Filter: &syncs.Filter{Email: "jane@example.test"}, Words: Words{"email": "jane@example.test", "status": "failed"}})
	require.Equal(t, Words{"email": "****", "status": "failed"}, j.Words)
	b.steps()
	require.Equal(t, Done, b.job(j.ID).State)
	var text string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT string_agg(j::text, '') || coalesce((SELECT string_agg(p::text, '') FROM bulk_preview p), '') FROM bulk_job j`).Scan(&text))
	require.NotContains(t, text, "example.test")
}

func TestOldJobsAndPreviewsAreDeletedBitByBit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.orders("default", 1, 5, domain.Failed)
	old := b.start(Plan{Command: Settle, Reason: "why", Filter: failedOf("")})
	b.steps()
	require.Equal(t, Done, b.job(old.ID).State)
	under := b.start(Plan{Command: Resync, SyncIDs: []int64{1}, NewKey: true, Reason: "why"})
	b.steps()
	_, err := b.store.Change(t.Context(), under.ID, Stop, "jane", "")
	require.NoError(t, err)
	b.clock = b.clock.Add(Retention)
	young := b.start(Plan{Command: Settle, Reason: "why", SyncIDs: []int64{2}})
	b.steps()
	_, err = b.store.Preview(t.Context(), Plan{Command: Resync, Filter: failedOf("")}, "jane")
	require.NoError(t, err)
	var deleted []int64
	for range 3 {
		n, err := b.store.Clean(t.Context(), b.clock.Add(-time.Hour), 3)
		require.NoError(t, err)
		deleted = append(deleted, n)
	}
	require.Equal(t, []int64{3, 2, 0}, deleted)
	_, err = b.store.Get(t.Context(), old.ID)
	require.ErrorIs(t, err, ErrUnknown)
	require.Equal(t, Stopped, b.job(under.ID).State, "an order of it is under way")
	require.Equal(t, Done, b.job(young.ID).State)
	previews := func() (n int) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM bulk_preview`).Scan(&n))
		return n
	}
	require.Equal(t, 1, previews())
	b.clock = b.clock.Add(TokenLife)
	_, err = b.store.Clean(t.Context(), day, 3)
	require.NoError(t, err)
	require.Zero(t, previews())
}
