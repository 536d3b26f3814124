package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/reconcile"
)

// readOpen is the repair that was begun before, nil when there is none.
func (r *repairer) readOpen(ctx context.Context) (*openRepair, error) {
	var o openRepair
	err := r.Pool.QueryRow(ctx, `SELECT since FROM erp_repair`).Scan(&o.since)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("looking for a repair that was interrupted: %w", err)
	}
	return &o, nil
}

// begin notes that a repair is under way, and from when on the log is compared: what it restores would let the next
// comparison begin later.
func (r *repairer) begin(ctx context.Context, since time.Time) (*openRepair, error) {
	if since.IsZero() {
		since = time.Unix(0, 0)
	}
	o := openRepair{}
	err := r.Pool.QueryRow(ctx, `
		INSERT INTO erp_repair (since) VALUES ($1)
		ON CONFLICT (single) DO UPDATE SET since = least(erp_repair.since, excluded.since) RETURNING since`, since).Scan(&o.since)
	if err != nil {
		return nil, fmt.Errorf("beginning the repair: %w", err)
	}
	return &o, nil
}

// freeIDs makes sure that ids given from now on are beyond those that Kafka has seen, and gives new ones to rows that have
// ids of others.
func (r *repairer) freeIDs(ctx context.Context, found *reconcile.Comparison) error {
	last := r.report.Position.LastID
	given, err := r.lastID(ctx, `SELECT erp_know_server()`)
	if err != nil {
		return err
	}
	if given>>40 > last>>40 && len(found.Reused) == 0 {
		return nil // a new server has begun an epoch of its own, see migrations/0006
	}
	if given, err = r.lastID(ctx, `SELECT erp_new_epoch($1, 0)`, last); err != nil {
		return err
	}
	if len(found.Reused) == 0 {
		return nil
	}
	return r.moveRows(ctx, found.Reused, given>>40<<40)
}

// makePlaces makes partitions for the ids up to the position: a database that was restored may have none there.
func (r *repairer) makePlaces(ctx context.Context) error {
	last, err := outbox.LastID(ctx, r.Pool)
	if err != nil {
		return err
	}
	beyond := r.report.Position.LastID - last
	if beyond <= 0 || r.report.Position.LastID>>40 != last>>40 {
		return nil // later epochs have a partition
	}
	_, err = outbox.Extend(ctx, r.Pool, outbox.MaxWidth, beyond+outbox.Ahead)
	return err
}

// lastID is the highest id given, after a statement that may move the ids on.
func (r *repairer) lastID(ctx context.Context, move string, args ...any) (int64, error) {
	if _, err := r.Pool.Exec(ctx, move, args...); err != nil {
		return 0, fmt.Errorf("moving the ids on; a repair runs as the owner of the schema, as migrate does: %w", err)
	}
	return outbox.LastID(ctx, r.Pool)
}

// moveToFront moves the rows $1, those between the position $2 and the epoch $3, and those of other topics between $4 and the
// position.
const moveToFront = `
	WITH moved AS (
		DELETE FROM erp_outbox WHERE id = ANY($1) OR (id > $2 AND id < $3) OR (id BETWEEN $4 AND $2 AND topic <> ALL($5)) RETURNING *
	)
	INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload, created_at)
	SELECT coalesce((SELECT max(id) FROM erp_outbox WHERE id >= $3 AND id < $3 + (1::bigint << 38)), $3) + row_number() OVER (ORDER BY id),
		topic, key, uuid, metadata, payload, created_at FROM moved`

// moveRows moves rows that have ids of others, and those behind them that are to be relayed too, to the front of the epoch,
// before the number drawn at random at which it begins: so they stay in their order, and before what is written from now on.
func (r *repairer) moveRows(ctx context.Context, reused []reconcile.Row, epoch int64) error {
	ids := make([]int64, len(reused))
	for i, row := range reused {
		ids[i] = row.ID
	}
	_, err := r.Pool.Exec(ctx, moveToFront, ids, r.report.Position.LastID, epoch, slices.Min(ids), reconcile.Topics)
	if err != nil {
		return fmt.Errorf("moving %d rows whose ids were given before: %w", len(ids), err)
	}
	return nil
}

// moveWaiting moves rows that were passed over, as their partitions took no records or as they came late, to where they are
// to be relayed in any case, and says so in the position: then every row up to the position is in Kafka, and lost ones can
// have their places among them. Whoever finds the position changed finds the rows moved.
func (r *repairer) moveWaiting(ctx context.Context, producer *txn.Producer) error {
	p := r.report.Position
	if len(p.Behind) == 0 && len(p.Open) == 0 {
		return nil
	}
	if err := r.closeGaps(ctx); err != nil {
		return err
	}
	waiting, err := r.waiting(ctx)
	if err != nil {
		return err
	}
	if len(waiting) > 0 {
		if err := r.moveBehind(ctx, p.LastID, waiting); err != nil {
			return err
		}
	}
	failpoint.Hit("repair.waiting_moved")
	p.Behind, p.Open, p.At = nil, nil, time.Now()
	r.report.Position = p
	return r.write(ctx, producer, p)
}

// closeGaps waits until no row can come any more in the gaps of the position.
func (r *repairer) closeGaps(ctx context.Context) error {
	conn, err := r.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("looking for rows that wait to be relayed: %w", err)
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeoutCause(ctx, gapTimeout, errOpenWriter)
	defer cancel()
	if err := outbox.NewReader(conn, outbox.Limits{}).Settle(ctx, r.report.Position.Open); err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	return nil
}

// moveBehind moves rows up to the last one behind it.
func (r *repairer) moveBehind(ctx context.Context, last int64, waiting []int64) error {
	given, err := r.lastID(ctx, `SELECT erp_know_server()`)
	if err == nil && given>>40 <= last>>40 {
		given, err = r.lastID(ctx, `SELECT erp_new_epoch($1, 0)`, last)
	}
	if err != nil {
		return err
	}
	if _, err := r.Pool.Exec(ctx, moveToFront, waiting, last, given>>40<<40, last+1, reconcile.Topics); err != nil {
		return fmt.Errorf("moving %d rows that wait to be relayed: %w", len(waiting), err)
	}
	return nil
}

// waiting are the ids of the rows that were passed over.
func (r *repairer) waiting(ctx context.Context) (ids []int64, err error) {
	p := r.report.Position
	partitions, err := r.partitions(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := r.Pool.Query(ctx, `SELECT id, topic, key FROM erp_outbox WHERE id > $1 AND id <= $2`, p.Whole(), p.LastID)
	if err != nil {
		return nil, fmt.Errorf("looking for rows that wait to be relayed: %w", err)
	}
	var id int64
	var topic, key string
	ids = []int64{}
	_, err = pgx.ForEachRow(rows, []any{&id, &topic, &key}, func() error {
		if p.Waits(r.Kafka, topic, key, id, partitions) {
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for rows that wait to be relayed: %w", err)
	}
	return ids, nil
}

// partitions is how many each keyed topic has.
func (r *repairer) partitions(ctx context.Context) (int, error) {
	if r.Kafka.Partitions > 0 {
		return r.Kafka.Partitions, nil
	}
	client, err := kgo.NewClient(r.Kafka.Options()...)
	if err != nil {
		return 0, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	ends, err := kafka.Listed(kadm.NewClient(client).ListEndOffsets(ctx, r.Kafka.Topic(event.TopicRequested)))
	if err != nil {
		return 0, fmt.Errorf("counting partitions: %w", err)
	}
	return len(ends[r.Kafka.Topic(event.TopicRequested)]), nil
}

// dropAgain takes rows out of which Kafka has the record.
func (r *repairer) dropAgain(ctx context.Context, again []reconcile.Row) error {
	ids := make([]int64, len(again))
	for i, row := range again {
		ids[i] = row.ID
	}
	if _, err := r.Pool.Exec(ctx, `DELETE FROM erp_outbox WHERE id = ANY($1)`, ids); err != nil {
		return fmt.Errorf("taking %d rows out that are in Kafka already: %w", len(ids), err)
	}
	return nil
}

// places are stretches of ids at or before the position that no row has: the lost rows had theirs among them.
type places []stretch

// stretch is one, with the number of those before it.
type stretch struct {
	first int64
	place int
}

// pageRows of ids are read at once: the rows above the free ids may be the whole outbox.
const pageRows = 10_000

// freePlaces are the last n, ascending.
func (r *repairer) freePlaces(ctx context.Context, n int) (places, error) {
	var free places
	next := r.report.Position.LastID // the highest id that was not looked at
	for n > 0 && next > 0 {
		rows, err := r.Pool.Query(ctx, `SELECT id FROM erp_outbox WHERE id <= $1 ORDER BY id DESC LIMIT $2`, next, pageRows)
		if err != nil {
			return nil, fmt.Errorf("looking for free ids: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			return nil, fmt.Errorf("looking for free ids: %w", err)
		}
		if len(ids) < pageRows {
			ids = append(ids, 0)
		}
		for _, id := range ids {
			if gap := int(min(next-id, int64(n))); gap > 0 {
				n -= gap
				free = append(free, stretch{first: next - int64(gap) + 1, place: n})
			}
			next = id - 1
		}
	}
	if n > 0 {
		return nil, fmt.Errorf("%d more records are lost than ids are free up to row %d: is DATABASE_URL the database of this Kafka?", n, r.report.Position.LastID)
	}
	slices.Reverse(free)
	return free, nil
}

// at is the id at a place, counted from 0.
func (p places) at(place int) int64 {
	i, exact := slices.BinarySearchFunc(p, place, func(s stretch, place int) int { return cmp.Compare(s.place, place) })
	if !exact {
		i--
	}
	return p[i].first + int64(place-p[i].place)
}

// newPosition is the relay's from now on: every row up to there is in Kafka.
func (r *repairer) newPosition(ctx context.Context) (checkpoint.Position, error) {
	p := checkpoint.Position{At: time.Now(), System: r.report.Server.System, Timeline: r.report.Server.Timeline}
	err := r.Pool.QueryRow(ctx, `SELECT id, uuid FROM erp_outbox WHERE id <= $1 ORDER BY id DESC LIMIT 1`, r.report.Position.LastID).Scan(&p.LastID, &p.UUID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return p, fmt.Errorf("reading the last relayed row: %w", err)
	}
	return p, nil
}

// rewindProjector lets the projection read again from where the repair began: gates and orders that were missing when it read
// these facts are changed by them now. Rows and timeline stay as they are, since each fact counts once.
func (r *repairer) rewindProjector(ctx context.Context) error {
	client, err := kgo.NewClient(r.Kafka.Options()...)
	if err != nil {
		return fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	starts, err := kafka.Listed(kadm.NewClient(client).ListOffsetsAfterMilli(ctx, r.open.since.UnixMilli(), r.Kafka.Topics(event.TopicsOf(event.GroupProjector))...))
	if err != nil {
		return fmt.Errorf("looking for where the projection is to read from: %w", err)
	}
	var topics []string
	var partitions []int32
	var offsets []int64
	starts.Each(func(o kadm.ListedOffset) {
		topics, partitions, offsets = append(topics, o.Topic[len(r.Kafka.Prefix):]), append(partitions, o.Partition), append(offsets, o.Offset)
	})
	_, err = r.Pool.Exec(ctx, `
		UPDATE projector_position p SET next_offset = s.o FROM unnest($1::text[], $2::int[], $3::bigint[]) AS s (t, n, o)
		WHERE p.topic = s.t AND p.partition = s.n AND p.next_offset > s.o`, topics, partitions, offsets)
	if err != nil {
		return fmt.Errorf("setting the projection back: %w", err)
	}
	return nil
}
