package bulk

import (
	"context"
	"fmt"
	"math"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// Estimate says how long something takes at the ERP's pace of now.
type Estimate struct {
	PerSecond float64 // orders; 0: nobody knows, as no order was sent lately and there is no limit
	Seconds   int64   // for all orders; 0: nobody knows, or there are none
	WaitsFor  string  // what keeps an order that could be sent now; empty: nothing
}

// recentCalls is by how many of the newest successes the time of a call is judged.
const recentCalls = 20

// commandsPerSecond is how many orders a second a job gives its command to: each is a transaction of some 5 ms.
const commandsPerSecond = 200

// estimate says how long so many orders take. The pace is that of as many calls at once as are allowed, each as long as the newest ones
// were, and no faster than the rate, or than commands are given. Where no order is sent, only the last counts.
func (s *Store) estimate(ctx context.Context, c Command, n int64) (e Estimate, err error) {
	if c == Cancel || c == Settle {
		return Estimate{PerSecond: commandsPerSecond, Seconds: secondsFor(n, commandsPerSecond)}, nil
	}
	view, err := pace.NewStore(s.pool).Load(ctx)
	if err != nil {
		return e, err
	}
	status := pace.StatusOf(view, s.settings.Current())
	e.WaitsFor = status.WaitsFor
	took, err := s.callSeconds(ctx)
	if err != nil {
		return e, err
	}
	if took > 0 {
		e.PerSecond = min(float64(min(max(1, status.Limit), maxUnderWay))/took, commandsPerSecond)
	}
	e.PerSecond = float64(domain.Rate(e.PerSecond).Tighter(domain.Rate(status.Rate)))
	e.Seconds = secondsFor(n, e.PerSecond)
	return e, nil
}

func secondsFor(n int64, perSecond float64) int64 {
	if perSecond <= 0 {
		return 0
	}
	return int64(math.Ceil(float64(n) / perSecond))
}

// callSeconds is how long a call takes: the median of the newest successes; 0 when there are none.
func (s *Store) callSeconds(ctx context.Context) (seconds float64, err error) {
	page, err := syncs.List(ctx, s.pool, syncs.Filter{Statuses: []domain.Status{domain.Success}, Limit: recentCalls})
	if err != nil {
		return 0, err
	}
	ids := make([]int64, len(page.Syncs))
	for i, one := range page.Syncs {
		ids[i] = one.SyncID
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY greatest(0.001, extract(epoch FROM after.occurred_at - before.occurred_at)))::float8, 0)
		FROM unnest($1::bigint[]) AS s (sync_id)
		CROSS JOIN LATERAL (SELECT occurred_at, version FROM vendor_erp_sync_event e WHERE e.sync_id = s.sync_id AND e.type = $2 ORDER BY version DESC LIMIT 1) after
		CROSS JOIN LATERAL (SELECT occurred_at FROM vendor_erp_sync_event e WHERE e.sync_id = s.sync_id AND e.type = $3 AND e.version < after.version
			ORDER BY version DESC LIMIT 1) before`, ids, event.TopicAfterSend, event.TopicBeforeSend).Scan(&seconds)
	if err != nil {
		return 0, fmt.Errorf("reading how long calls take: %w", err)
	}
	return seconds, nil
}
