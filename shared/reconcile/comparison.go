package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
)

// comparison is a comparison under way.
type comparison struct {
	Comparison

	p Params

	partitions int // of each keyed topic

	entries []entry
	refused map[int64]uint64               // rows that no broker took, by a dead letter; with a hash of topic and key
	latest  map[kafka.TopicPartition]int64 // the time of its last record
	byHash  map[uint64]int32               // of identities
	uuids   map[uint64]bool                // of messages that are not said twice
	first   time.Time                      // when the earliest fact that was read occurred
	overlap bool                           // a row was found that is in both, so the log was read from far enough back
}

// entry is a record. It is small, as there are many after a restore from an old backup.
type entry struct {
	offset    int64
	written   int64 // Unix milliseconds: when it was relayed; within a partition it never goes back
	partition int32
	topic     uint8
	taken     bool // its row is in the outbox
}

// identity is what a row and its record have in common, and no other row has. The uuid alone would not do: an event that is accepted a
// second time has the uuid of the first, but another trace and another time.
type identity struct{ topic, uuid, trace, time string }

var seed = maphash.MakeSeed()

func (i identity) hash() uint64 {
	return maphash.String(seed, i.topic+"\x00"+i.uuid+"\x00"+i.trace+"\x00"+i.time)
}

// message is what both of these have in common.
func (i identity) message() uint64 { return maphash.String(seed, i.topic+"\x00"+i.uuid) }

func (c *comparison) run(ctx context.Context) error {
	spans, err := c.spans(ctx)
	if err != nil {
		return err
	}
	c.refused = map[int64]uint64{}
	c.latest, c.byHash, c.uuids = map[kafka.TopicPartition]int64{}, map[uint64]int32{}, map[uint64]bool{}
	if err := logreader.Read(ctx, c.p.Kafka, spans, c, func() error { return nil }); err != nil {
		return err
	}
	c.Records = len(c.entries)
	if err := c.relayedRows(ctx); err != nil {
		return err
	}
	if err := c.otherRows(ctx); err != nil {
		return err
	}
	c.collectLost()
	return nil
}

// collectLost collects the lost records in the order of time, so that the ids of restored rows follow their times.
func (c *comparison) collectLost() {
	lost := slices.DeleteFunc(c.entries, func(e entry) bool { return e.taken })
	slices.SortStableFunc(lost, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.written, b.written), cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	for _, e := range lost {
		c.Lost = append(c.Lost, Record{Topics[e.topic], e.partition, e.offset})
	}
}

// spans are the parts of the log from Since on.
func (c *comparison) spans(ctx context.Context) ([]*logreader.Span, error) {
	client, err := kgo.NewClient(c.p.Kafka.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	admin, topics := kadm.NewClient(client), c.p.Kafka.Topics(append(slices.Clone(Topics), event.TopicDeadLetter))
	ends, err := kafka.Listed(admin.ListEndOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	starts, err := kafka.Listed(admin.ListStartOffsets(ctx, topics...))
	if err == nil && !c.Since.IsZero() {
		starts, err = kafka.Listed(admin.ListOffsetsAfterMilli(ctx, c.Since.UnixMilli(), topics...))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	c.partitions = cmp.Or(c.p.Kafka.Partitions, len(ends[c.p.Kafka.Topic(event.TopicRequested)]))
	var spans []*logreader.Span
	for _, end := range ends.Offsets().Sorted() {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		first := min(start.Offset, end.At)
		spans = append(spans, &logreader.Span{Topic: end.Topic[len(c.p.Kafka.Prefix):], Partition: end.Partition, First: first, Next: first, End: end.At})
	}
	return spans, nil
}

// Take notes records; it makes the comparison a logreader.Sink.
func (c *comparison) Take(_ context.Context, records []*kgo.Record) error {
	for _, r := range records {
		if r.Topic == c.p.Kafka.Topic(event.TopicDeadLetter) {
			c.takeDeadLetter(r)
			continue
		}
		e := c.p.Kafka.Event(r)
		i := identity{topic: e.Topic, uuid: e.UUID(), trace: e.Traceparent(), time: string(kafka.Header(r, event.HeaderTime))}
		if i.uuid == "" {
			continue // not written through the outbox
		}
		if _, copied := c.byHash[i.hash()]; copied {
			continue // a copy of a record that somebody has written again; the outbox has one row of it
		}
		c.byHash[i.hash()] = int32(len(c.entries)) //nolint:gosec // as many as memory holds
		if !isNote(i.topic, e.ID()) {
			c.uuids[i.message()] = true
		}
		at := kafka.TopicPartition{Topic: i.topic, Partition: r.Partition}
		c.latest[at] = max(c.latest[at], r.Timestamp.UnixMilli())
		c.entries = append(c.entries, entry{
			offset: r.Offset, written: c.latest[at], partition: r.Partition, topic: uint8(slices.Index(Topics, i.topic)), //nolint:gosec // of three
		})
		if at := occurred(e); c.first.IsZero() || at.Before(c.first) {
			c.first = at
		}
	}
	return nil
}

// takeDeadLetter notes the row that a dead letter of the relay names.
func (c *comparison) takeDeadLetter(r *kgo.Record) {
	id, err := strconv.ParseInt(string(kafka.Header(r, event.HeaderOriginRow)), 10, 64)
	if topic, ours := strings.CutPrefix(string(kafka.Header(r, event.HeaderOriginTopic)), c.p.Kafka.Prefix); err == nil && ours {
		c.refused[id] = place(topic, string(r.Key))
	}
}

func place(topic, key string) uint64 { return maphash.String(seed, topic+"\x00"+key) }

// isNote reports, by the ce_id, whether a record may be written twice: see event.NewNote.
func isNote(topic, id string) bool {
	return topic == event.TopicCallback && !strings.HasSuffix(id, "/"+event.TopicCallback)
}

// occurred is about the time when the record's row was written, and never later.
func occurred(e event.View) time.Time {
	if at := e.OccurredAt(); at.Before(e.Timestamp) {
		return at
	}
	return e.Timestamp
}

// found is a row that was read.
type found struct {
	Row
	identity

	created time.Time
}

const (
	columns = `SELECT id, topic, key, created_at, uuid, coalesce(metadata::json ->> '` + event.HeaderTraceparent + `', ''),
		coalesce(metadata::json ->> '` + event.HeaderTime + `', '') FROM erp_outbox `
	before = columns + `WHERE id <= $1 ORDER BY id DESC LIMIT $2`
	behind = columns + `WHERE id > $1 ORDER BY id LIMIT $2`
)

func (c *comparison) page(ctx context.Context, query string, id int64) ([]found, error) {
	rows, err := c.p.On.Query(ctx, query, id, pageRows)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox at id %d: %w", id, err)
	}
	page, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (f found, err error) {
		err = r.Scan(&f.ID, &f.Topic, &f.Key, &f.created, &f.uuid, &f.trace, &f.time)
		f.topic = f.Topic
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the outbox at id %d: %w", id, err)
	}
	return page, nil
}

// relayedRows searches the rows up to the position among the records. It goes from the newest row back until no row can have a record
// that was read. Ids and times have the same order, except for rows that were written at the same moment.
func (c *comparison) relayedRows(ctx context.Context) error {
	floor := c.first
	if !c.Since.IsZero() && c.Since.Before(floor) {
		floor = c.Since
	}
	floor = floor.Add(-clockSkew)
	for last := c.p.Position.LastID; ; {
		rows, err := c.page(ctx, before, last)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.created.Before(floor) {
				return nil
			}
			c.relayedRow(r)
			last = r.ID - 1
		}
		if len(rows) < pageRows {
			return nil
		}
	}
}

func (c *comparison) relayedRow(r found) {
	i, known := c.byHash[r.hash()]
	refused, isRefused := c.refused[r.ID]
	switch {
	case known:
		c.entries[i].taken, c.overlap = true, true
	case isRefused && refused == place(r.Topic, r.Key): // Kafka has a dead letter that names it
	case c.p.Position.Waits(c.p.Kafka, r.Topic, r.Key, r.ID, c.partitions) && !c.uuids[r.message()]: // it will be relayed
	case !slices.Contains(Topics, r.Topic) || r.created.Before(c.Since.Add(clockSkew)):
	case c.uuids[r.message()]:
		c.Repeated = append(c.Repeated, r.Row)
	default:
		c.Reused = append(c.Reused, r.Row)
	}
}

// otherRows searches rows behind the position whose event Kafka has already, written at another time and for another request: these
// events came twice. The very same record again is that of a dead letter that was sent back.
func (c *comparison) otherRows(ctx context.Context) error {
	for last := c.p.Position.LastID; ; {
		rows, err := c.page(ctx, behind, last)
		if err != nil {
			return err
		}
		for _, r := range rows {
			last = r.ID
			if _, sentBack := c.byHash[r.hash()]; c.uuids[r.message()] && !sentBack {
				c.Repeated = append(c.Repeated, r.Row)
			}
		}
		if len(rows) < pageRows {
			return nil
		}
	}
}
