package accept

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

// store writes what decide has decided. The records for the outbox are made while Postgres stores the rest. If the transaction is to end
// with that, it commits in the same round trip; not so after gates were saved, as then the number of their rows is looked at first.
func (t *transaction) store(ctx context.Context) error {
	released := map[string]int{}
	var rest, records pgx.Batch
	saves := t.queueRest(&rest, released)
	if rest.Len() == 0 {
		return nil
	}
	p, err := postgres.StartPipeline(ctx, t.tx, gate.SaveStatement, storeEvents, resolveAccepted, insertAndRelease, updateAndRelease, outbox.InsertStatement)
	if err != nil {
		return err
	}
	p.Send(ctx, &rest)
	made, err := t.records()
	outbox.Queue(&records, made)
	p.Send(ctx, &records)
	failpoint.Hit("accept.before_commit")
	if t.isLast && !saves && err == nil {
		p.Commit(ctx)
	}
	if closing := p.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("storing %d events: %w", len(t.accepted), err)
	}
	t.setReleased(released)
	return nil
}

// queueRest queues all but the records. It fills in the number of released invoices by order, and reports whether gates are saved.
func (t *transaction) queueRest(b *pgx.Batch, released map[string]int) (saves bool) {
	var gates []domain.Gate
	for _, key := range slices.Sorted(maps.Keys(t.gates)) {
		if t.gates[key] != t.written[key] {
			gates = append(gates, t.gates[key])
		}
	}
	gate.QueueSave(b, gates) // also where no event is accepted: a gate may have been made for one
	if len(t.accepted) > 0 {
		t.queueEvents(b)
		resolve(b, t.accepted)
	}
	t.queueSnapshots(b, released)
	return len(gates) > 0
}

// Two orders may come with one event id at the same time, under different gates. The later one finds the id taken; the next try of its
// transaction then finds the conflict.
const storeEvents = `
	INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
	SELECT s, i, k, d, t, $6 FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[]) AS n (s, i, k, d, t)`

// queueEvents keeps the ids and digests of events for ever: a shop may repeat an event after years, as when it restores a backup.
func (t *transaction) queueEvents(b *pgx.Batch) {
	sorted := slices.Clone(t.accepted) // by key, so that two batches with the same events do not deadlock
	slices.SortFunc(sorted, func(a, b accepted) int {
		return bytes.Compare([]byte(a.event.Source+"\x00"+a.event.EventID), []byte(b.event.Source+"\x00"+b.event.EventID))
	})
	var sources, ids, keys, types []string
	var digests [][]byte
	for _, it := range sorted {
		sources, ids, keys = append(sources, it.event.Source), append(ids, it.event.EventID), append(keys, it.key)
		digests, types = append(digests, it.digest[:]), append(types, string(it.event.Type))
	}
	b.Queue(storeEvents, sources, ids, keys, digests, types, t.now)
}

// queueSnapshots stores the snapshots that changed, and releases the invoices that wait for these orders.
func (t *transaction) queueSnapshots(b *pgx.Batch, released map[string]int) {
	var fresh, known snapshotColumns
	for _, key := range slices.Sorted(maps.Keys(t.snapshots)) {
		switch s := t.snapshots[key]; {
		case !s.changed:
		case s.stored:
			known.add(t.gates[key].Ref, s)
		default:
			fresh.add(t.gates[key].Ref, s)
		}
	}
	fresh.queue(b, insertAndRelease, t.now, released)
	known.queue(b, updateAndRelease, t.now, released)
}

// snapshotColumns are snapshots, one list for each column.
type snapshotColumns struct {
	keys, sources, ids, orders []string
	orderIDs                   []*int64
	times                      []*time.Time
}

func (c *snapshotColumns) add(ref domain.OrderRef, s *snapshot) {
	c.keys, c.sources, c.ids = append(c.keys, ref.Key()), append(c.sources, ref.Source), append(c.ids, ref.IncrementID)
	c.orders, c.orderIDs, c.times = append(c.orders, string(s.order)), append(c.orderIDs, s.orderID), append(c.times, s.at)
}

func (c *snapshotColumns) queue(b *pgx.Batch, statement string, now time.Time, released map[string]int) {
	if len(c.keys) == 0 {
		return
	}
	b.Queue(statement, c.keys, c.sources, c.ids, c.orderIDs, c.orders, now, c.times).Query(func(rows pgx.Rows) error {
		return countByOrder(rows, released)
	})
}

// records are the records of what is accepted, in its order.
func (t *transaction) records() ([]event.Record, error) {
	out := make([]event.Record, 0, 2*len(t.accepted))
	for _, a := range t.accepted {
		out = append(out, event.NewCommerce(a.event, a.ref, a.body, t.now, a.trace))
		if a.request == nil {
			continue
		}
		r, err := event.NewRequest(a.request.sync, a.request.order, a.request.remarks, event.Context{Traceparent: a.trace, At: t.now})
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
