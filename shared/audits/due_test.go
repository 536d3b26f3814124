package audits

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An audit of everything is due when the last one of the scheduler began longer ago than the interval; others do not count.
func TestAnAuditIsDue(t *testing.T) {
	t.Parallel()
	const interval = 24 * time.Hour
	nothing := func(context.Context, Plan, func(done, of int64)) (Result, error) { return found(0), nil }
	run := func(b *bench, p Plan) {
		b.t.Helper()
		_, err := b.Start(b.t.Context(), p, "jane")
		require.NoError(b.t, err)
		b.step(b.runner(nothing))
	}
	for name, c := range map[string]struct {
		before func(b *bench)
		due    bool
	}{
		"none_was_made_yet": {func(*bench) {}, true},
		"one_began_before": {func(b *bench) {
			run(b, Plan{Kind: Audit})
			b.exec(`UPDATE audit_run SET started_at = now() - interval '24 h 1 s'`)
		}, true},
		"one_began_lately": {func(b *bench) {
			run(b, Plan{Kind: Audit})
			b.exec(`UPDATE audit_run SET started_at = now() - interval '23 h 59 min'`)
		}, false},
		"one_was_asked_for_before": {func(b *bench) {
			run(b, Plan{Kind: Audit})
			b.exec(`UPDATE audit_run SET asked_at = now() - interval '9 d'`)
		}, false},
		"the_newest_counts": {func(b *bench) {
			run(b, Plan{Kind: Audit})
			b.exec(`UPDATE audit_run SET started_at = now() - interval '9 d'`)
			run(b, Plan{Kind: Audit})
		}, false},
		"one_that_failed_counts": {func(b *bench) {
			run(b, Plan{Kind: Audit})
			b.exec(`UPDATE audit_run SET state = 'failed', counts = NULL`)
		}, false},
		"a_verification_does_not_count": {func(b *bench) { run(b, Plan{Kind: Verify}) }, true},
		"one_of_a_shop_does_not_count":  {func(b *bench) { run(b, Plan{Kind: Audit, Source: new("outlet")}) }, true},
		"one_of_a_range_does_not_count": {func(b *bench) { run(b, Plan{Kind: Audit, From: new(time.Now())}) }, true},
		"one_with_an_end_does_not":      {func(b *bench) { run(b, Plan{Kind: Audit, To: new(time.Now())}) }, true},
		"a_commands_does_not_count": {func(b *bench) {
			_, err := b.RunHere(b.t.Context(), Plan{Kind: Audit}, "jane", nothing, func(err error) { require.NoError(b.t, err) })
			require.NoError(b.t, err)
		}, true},
		"another_one_is_under_way": {func(b *bench) { b.start(Verify) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			c.before(b)
			r, last, err := b.StartDue(t.Context(), interval)
			require.NoError(t, err)
			require.Equal(t, c.due, r != nil)
			if !c.due {
				return
			}
			require.Equal(t, []any{Audit, ByScheduler, BySetting, Queued, last}, []any{r.Kind, r.MadeBy, r.AskedBy, r.State, r.AskedAt})
			again, _, err := b.StartDue(t.Context(), interval)
			require.NoError(t, err)
			require.Nil(t, again, "not a second one while it waits")
			b.step(b.runner(nothing))
			again, last, err = b.StartDue(t.Context(), interval)
			require.NoError(t, err)
			require.Nil(t, again, "however long nothing ran, it is one")
			require.WithinDuration(t, time.Now(), last, time.Minute)
		})
	}
}
