package reconcile

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/topiclog"
)

// comparison is one under way.
type comparison struct {
	Comparison

	p Params

	entries []entry
	byHash  map[uint64]int32 // the newest entry, one of which leads to the next
	first   time.Time        // when the earliest fact that was read occurred
	parted  bool             // a row was found in both: the log was read from before the histories parted
}

// entry is a record. A few bytes each: after a restore from an old backup there are many.
type entry struct {
	offset    int64
	written   int64 // Unix milliseconds: when it was relayed
	partition int32
	next      int32 // the entry before with the same hash; -1: none
	topic     uint8
	note      bool // may be said again under the same uuid
	taken     bool // its row is in the outbox
}

func (c *comparison) run(ctx context.Context) error {
	spans, err := c.spans(ctx)
	if err != nil {
		return err
	}
	c.byHash = map[uint64]int32{}
	if err := topiclog.Read(ctx, c.p.Kafka, spans, c, func() error { return nil }); err != nil {
		return err
	}
	c.Records = len(c.entries)
	if err := c.relayedRows(ctx); err != nil {
		return err
	}
	if err := c.otherRows(ctx); err != nil {
		return err
	}
	for _, e := range c.entries {
		if !e.taken {
			at := topiclog.Partition{Topic: Topics[e.topic], Number: e.partition}
			c.Lost[at] = append(c.Lost[at], e.offset)
		}
	}
	return nil
}

// spans are the stretches of the log from Since on.
func (c *comparison) spans(ctx context.Context) ([]*topiclog.Span, error) {
	client, err := kgo.NewClient(c.p.Kafka.Options()...)
	if err != nil {
		return nil, fmt.Errorf("connecting to Kafka: %w", err)
	}
	defer client.Close()
	admin, topics := kadm.NewClient(client), c.p.Kafka.Topics(Topics)
	ends, err := topiclog.Listed(admin.ListEndOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	starts, err := topiclog.Listed(admin.ListStartOffsets(ctx, topics...))
	if err == nil && !c.Since.IsZero() {
		starts, err = topiclog.Listed(admin.ListOffsetsAfterMilli(ctx, c.Since.UnixMilli(), topics...))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	var spans []*topiclog.Span
	for _, end := range ends.Offsets().Sorted() {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		first := min(start.Offset, end.At)
		spans = append(spans, &topiclog.Span{Topic: end.Topic[len(c.p.Kafka.Prefix):], Partition: end.Partition, First: first, Next: first, End: end.At})
	}
	return spans, nil
}

// Take notes records; it makes the comparison a topiclog.Sink.
func (c *comparison) Take(_ context.Context, records []*kgo.Record) error {
	for _, r := range records {
		topic := r.Topic[len(c.p.Kafka.Prefix):]
		uuid, id := string(kafka.Header(r, event.HeaderUUID)), string(kafka.Header(r, event.HeaderID))
		if uuid == "" {
			continue // nobody's who writes through the outbox
		}
		h := hash(topic, uuid)
		next, seen := c.byHash[h]
		if !seen {
			next = -1
		}
		c.byHash[h] = int32(len(c.entries)) //nolint:gosec // as many as memory holds
		c.entries = append(c.entries, entry{
			offset: r.Offset, written: r.Timestamp.UnixMilli(), partition: r.Partition, next: next,
			topic: uint8(slices.Index(Topics, topic)), note: isNote(topic, id), //nolint:gosec // of three
		})
		if at := occurred(r); c.first.IsZero() || at.Before(c.first) {
			c.first = at
		}
	}
	return nil
}

// isNote tells by the ce_id what may be said twice: see event.NewNote.
func isNote(topic, id string) bool {
	return topic == event.TopicCallback && !strings.HasSuffix(id, "/"+event.TopicCallback)
}

// occurred is about when the record's row was written, and never later.
func occurred(r *kgo.Record) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, string(kafka.Header(r, event.HeaderTime))); err == nil && at.Before(r.Timestamp) {
		return at
	}
	return r.Timestamp
}

var seed = maphash.MakeSeed()

func hash(topic, uuid string) uint64 { return maphash.String(seed, topic+"\x00"+uuid) }

// found is a row that was read.
type found struct {
	Row

	uuid    string
	created time.Time
}

const (
	before = `SELECT id, topic, key, uuid, created_at FROM erp_outbox WHERE id <= $1 ORDER BY id DESC LIMIT $2`
	behind = `SELECT id, topic, key, uuid, created_at FROM erp_outbox WHERE id > $1 ORDER BY id LIMIT $2`
)

func (c *comparison) page(ctx context.Context, query string, id int64) ([]found, error) {
	rows, err := c.p.On.Query(ctx, query, id, pageRows)
	if err != nil {
		return nil, fmt.Errorf("reading the outbox at id %d: %w", id, err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (f found, err error) {
		return f, r.Scan(&f.ID, &f.Topic, &f.Key, &f.uuid, &f.created)
	})
}

// relayedRows looks for the rows up to the position among the records, from the newest back to where no record's row can
// be any more. Ids and times run together but for what was written at the same moment.
func (c *comparison) relayedRows(ctx context.Context) error {
	floor := c.first
	if !c.Since.IsZero() && c.Since.Before(floor) {
		floor = c.Since
	}
	floor = floor.Add(-clockSkew)
	for last := c.p.Last; ; {
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

// relayedRow takes the row's record. A record that was written before its row is not its own: the row came a second time,
// under an id that was given a second time.
func (c *comparison) relayedRow(r found) {
	earliest := r.created.Add(-clockSkew).UnixMilli()
	came := false
	for i, more := c.byHash[hash(r.Topic, r.uuid)]; more && i >= 0; i = c.entries[i].next {
		e := &c.entries[i]
		if !e.taken && e.written >= earliest {
			e.taken, c.parted = true, true
			return
		}
		came = came || !e.note
	}
	switch {
	case !slices.Contains(Topics, r.Topic) || r.created.Before(c.Since.Add(clockSkew)):
	case came:
		c.Again = append(c.Again, r.Row)
	default:
		c.Reused = append(c.Reused, r.Row)
	}
}

// otherRows looks for rows that are to be relayed still, and of which Kafka has the record.
func (c *comparison) otherRows(ctx context.Context) error {
	for last := c.p.Last; ; {
		rows, err := c.page(ctx, behind, last)
		if err != nil {
			return err
		}
		for _, r := range rows {
			last = r.ID
			if i, known := c.byHash[hash(r.Topic, r.uuid)]; known && !c.entries[i].note {
				c.Again = append(c.Again, r.Row)
			}
		}
		if len(rows) < pageRows {
			return nil
		}
	}
}
