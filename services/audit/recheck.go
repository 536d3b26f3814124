package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	recheckBatch    = 1000                   // orders that are looked at together,
	recheckFacts    = 100_000                // unless more is known of them than this
	recheckInterval = 250 * time.Millisecond // between two looks at a gate that is to be closed
)

// judge judges each order of the partition, one bucket after the other, and those that look broken a second time.
func (a *auditor) judge(ctx context.Context, p *partition) error {
	each := func(b *bucket) error { return a.judgeBucket(ctx, p, b) }
	for n := range a.snapshot.buckets {
		if err := eachBucket(a.snapshot.part(p.number, n), part{a.log, n}, a.bucketBytes, each); err != nil {
			return err
		}
	}
	return a.recheck(ctx, p)
}

// judgeBucket judges each order of a bucket for the first time.
func (a *auditor) judgeBucket(ctx context.Context, p *partition, b *bucket) error {
	for _, o := range b.orders {
		if j := p.firstJudgement(o); len(j.violations) == 0 {
			a.report.count(j)
			continue
		}
		p.suspects, p.suspected = append(p.suspects, o), p.suspected+o.facts()
		if len(p.suspects) < recheckBatch && p.suspected < recheckFacts {
			continue
		}
		if err := a.recheck(ctx, p); err != nil {
			return err
		}
	}
	return a.judgeUnknownOrders(ctx, p.number, b.unknownOrders)
}

// firstJudgement judges an order by the snapshot and the topics alone.
func (p *partition) firstJudgement(o *order) *judgement {
	j := &judgement{
		o: o, partition: p.number, relayed: p.a.relayedIn(p.number), open: p.a.relayed.Open, gate: o.gate,
		before: func(at place) bool { return p.before.done(p.number, o.key, at) },
	}
	j.run()
	return j
}

// recheck judges the suspects again, if there are any, and counts them. It reads what may have moved on since the snapshot, and waits for a gate that is still open though its generation has
// ended, until the projector has had the time to close it.
func (a *auditor) recheck(ctx context.Context, p *partition) error {
	suspects := p.suspects
	p.suspects, p.suspected = nil, 0
	if len(suspects) == 0 {
		return nil
	}
	after, err := a.consumed(ctx)
	if err != nil {
		return err
	}
	deadLetters := deadLettersOnce(a, suspects)
	var final []*judgement
	for began := time.Now(); len(suspects) > 0; {
		now, err := a.readNow(ctx, suspects, a.relayedIn(p.number))
		if err != nil {
			return err
		}
		late := time.Since(began) >= a.gateTimeout
		var waiting []*order
		for _, o := range suspects {
			j := p.firstJudgement(o)
			if len(j.violations) > 0 {
				j, err = p.recheck(ctx, j, now, after, deadLetters)
			}
			if err != nil {
				return err
			}
			if !late && slices.ContainsFunc(j.violations, func(b Violation) bool { return b.Kind == GateOpenAfterEnd }) {
				waiting = append(waiting, o)
				continue
			}
			final = append(final, j)
		}
		suspects = waiting
		if len(suspects) > 0 {
			if !run.Sleep(ctx, recheckInterval) {
				return ctx.Err()
			}
		}
	}
	if err := a.nameEvents(ctx, final); err != nil {
		return err
	}
	for _, j := range final {
		a.report.count(j)
	}
	return nil
}

// nameEvents looks up the ids of events that were not published. Events are not found by their order without reading all
// of them, so it is done for many orders at once.
func (a *auditor) nameEvents(ctx context.Context, judged []*judgement) error {
	unnamed := map[uint64]*Violation{}
	var keys []string
	for _, j := range judged {
		for i := range j.violations {
			if b := &j.violations[i]; b.Kind == EventNotPublished {
				unnamed[b.event] = b
				keys = append(keys, j.o.key)
			}
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := a.Pool.Query(ctx, `SELECT source, event_id FROM accepted_event WHERE order_key = ANY($1)`, keys)
	if err != nil {
		return fmt.Errorf("looking up %d events: %w", len(keys), err)
	}
	var source, id string
	_, err = pgx.ForEachRow(rows, []any{&source, &id}, func() error {
		if b := unnamed[hash(event.MessageUUID(event.CommerceID(source, id)))]; b != nil {
			b.Found = "event_id " + id
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking up %d events: %w", len(keys), err)
	}
	return nil
}

// recheck judges a suspect by what is known by now. The dead letters are read only when one of them may explain what was found: the topic
// may be long, and most suspects have moved on by themselves.
func (p *partition) recheck(ctx context.Context, first *judgement, now *now, after consumed, letters func(context.Context) (deadLetters, error)) (j *judgement, err error) {
	o := first.o
	var dead deadLetters
	if slices.ContainsFunc(first.violations, func(b Violation) bool {
		return b.Kind == NeitherAliveNorEnded || b.Kind == BeforeSendAlone || b.Kind == GateClosedWithoutEnd
	}) {
		if dead, err = letters(ctx); err != nil {
			return nil, err
		}
	}
	fresh := *o
	fresh.rows = slices.Clone(o.rows)
	for _, r := range now.rows[o.key] {
		if !slices.ContainsFunc(o.rows, func(old row) bool { return old.id == r.id }) {
			fresh.rows = append(fresh.rows, r)
		}
	}
	j = &judgement{
		o: &fresh, partition: p.number, relayed: p.a.relayedIn(p.number), open: p.a.relayed.Open, gate: now.gates[o.key],
		before:      func(at place) bool { return p.before.done(p.number, o.key, at) },
		after:       func(at place) bool { return after.done(p.number, o.key, at) },
		applied:     func(at place) bool { return now.applied[place{at.topic, int64(p.number)}] > at.offset },
		deadLetters: func(generation int) bool { return dead[deadLetter{o.key, generation}] },
	}
	j.run()
	return j, nil
}

// now is what Postgres says when suspects are judged again.
type now struct {
	gates   map[string]*gateRow
	rows    map[string][]row // beyond R and in its gaps: the others were in the snapshot
	applied map[place]int64  // the projector's next offset by topic and partition
}

// readNow reads gates, rows and the projector's positions anew, of one moment.
func (a *auditor) readNow(ctx context.Context, suspects []*order, upTo int64) (*now, error) {
	n := &now{gates: map[string]*gateRow{}, rows: map[string][]row{}, applied: map[place]int64{}}
	keys := make([]string, len(suspects))
	for i, o := range suspects {
		keys[i] = o.key
	}
	if open := a.relayed.Open; len(open) > 0 {
		upTo = min(upTo, open[0].First-1) // rows of the snapshot may come again
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	err := pgx.BeginTxFunc(ctx, a.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT topic, partition, next_offset FROM projector_position`)
		if err != nil {
			return err
		}
		var topic, key, uuid string
		var partition, offset int64
		_, err = pgx.ForEachRow(rows, []any{&topic, &partition, &offset}, func() error {
			n.applied[place{indexes[topic], partition}] = offset
			return nil
		})
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, `SELECT `+gateColumns+` FROM erp_sync_gate g WHERE order_key = ANY($1)`, keys); err != nil {
			return err
		}
		err = eachGate(rows, func(key string, g gateRow) error {
			n.gates[key] = &g
			return nil
		})
		if err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, `SELECT id, topic, key, uuid FROM erp_outbox WHERE id > $1 AND key = ANY($2)`, upTo, keys); err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&offset, &topic, &key, &uuid}, func() error {
			if at, ours := relayed[topic]; ours {
				n.rows[key] = append(n.rows[key], row{fact{at, hash(uuid)}, offset})
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %d orders again: %w", len(keys), err)
	}
	return n, nil
}

// judgeUnknownOrders reports the orders that the log knows and no table does. Most unknown orders were accepted after the snapshot.
func (a *auditor) judgeUnknownOrders(ctx context.Context, partition int32, orders map[string]unknownOrder) error {
	asked := map[string]unknownOrder{}
	for key, s := range orders {
		ref, err := domain.ParseKey(key)
		if err == nil && a.Source != "" && ref.Source != a.Source {
			continue
		}
		if !s.at.Before(a.From) && (a.To.IsZero() || s.at.Before(a.To)) {
			asked[key] = s
		}
	}
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(asked)), recheckBatch) {
		rows, err := a.Pool.Query(ctx, `
			SELECT k FROM unnest($1::text[]) AS k WHERE NOT EXISTS (SELECT FROM erp_sync_gate g WHERE g.order_key = k)`, keys)
		if err != nil {
			return fmt.Errorf("looking for the gates of %d orders: %w", len(keys), err)
		}
		unknown, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("looking for the gates of %d orders: %w", len(keys), err)
		}
		for _, key := range keys {
			s := asked[key]
			j := &judgement{o: &order{key: key}, partition: partition}
			if slices.Contains(unknown, key) {
				j.found(LogWithoutGate, nil, &s.place)
			} else if home := partitionOf(key, a.partitions); home != partition {
				j.found(RecordUnknown, nil, &s.place).Found = "records of this order belong into partition " + strconv.Itoa(int(home))
			}
			if len(j.violations) > 0 {
				a.report.count(j)
			}
		}
	}
	return nil
}
