package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
)

// clockSkew is by how much the clocks of our machines may differ where the brokers' index of time is asked.
const clockSkew = 10 * time.Minute

// names are the keyed topics without the prefix; a place in the log names its topic by the index.
var names = func() (out []string) {
	for _, t := range event.Topics() {
		if t.Keyed {
			out = append(out, t.Name)
		}
	}
	return out
}()

var indexes = func() map[string]byte {
	out := map[string]byte{}
	for i, name := range names {
		out[name] = byte(i)
	}
	return out
}()

// relayed are the topics that are written by the outbox alone.
var relayed = map[string]byte{
	event.TopicSalesOrder: indexes[event.TopicSalesOrder],
	event.TopicRequested:  indexes[event.TopicRequested],
	event.TopicCallback:   indexes[event.TopicCallback],
}

// chains are the topics whose records keep a generation alive until a group has consumed them.
var chains = func() map[string]event.Group {
	out := map[string]event.Group{event.TopicRequested: event.GroupSyncer, event.TopicDue: event.GroupSyncer}
	for _, r := range event.RetryTiers {
		out[r.Topic] = event.GroupDelayer
	}
	return out
}()

// consumed are the positions of the groups that consume chain records. A record may be done beyond the position, as calls end in any
// order; the metadata of the commit says which.
type consumed struct {
	cfg    kafka.Config
	groups map[event.Group]txn.Positions
}

// consumed reads the positions as they are now. It waits for transactions that are being committed: their records are not to be seen
// yet, and neither may be their offsets.
func (a *auditor) consumed(ctx context.Context) (consumed, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c := consumed{cfg: a.Kafka, groups: map[event.Group]txn.Positions{}}
	for _, g := range []event.Group{event.GroupSyncer, event.GroupDelayer} {
		positions, err := txn.ReadPositions(ctx, a.Kafka, a.admin, string(g))
		if err != nil {
			return c, err
		}
		c.groups[g] = positions
	}
	return c, nil
}

// done reports whether the chain record of an order was consumed. In the syncer's group the records of a shop are a flow.
func (c consumed) done(partition int32, key string, at place) bool {
	topic := names[at.topic]
	return c.groups[chains[topic]].Done(c.cfg.Topic(topic), partition, txn.FlowOf(domain.SourceOfKey(key)), at.offset)
}

// read reads what the topics say of one partition's orders: P, then E, then all records up to E.
func (a *auditor) read(ctx context.Context, number int32) (*partition, error) {
	before, err := a.consumed(ctx)
	if err != nil {
		return nil, err
	}
	spans, err := a.spans(ctx, &before, func(n int32) bool { return n == number })
	if err != nil {
		return nil, err
	}
	p := &partition{a: a, number: number, before: before}
	a.log.reset() // of what a try that failed has read
	err = logreader.Read(ctx, a.Kafka, spans, p, func() error {
		read, _ := logreader.Done(spans)
		a.reportProgress(a.done + read)
		return nil
	})
	if err != nil {
		return nil, err
	}
	read, _ := logreader.Done(spans)
	a.done += read
	a.reportProgress(a.done)
	return p, nil
}

// reportProgress tells how many offsets are read. The topics grow meanwhile, so it may come to the end a little early; it never goes
// beyond.
func (a *auditor) reportProgress(done int64) {
	if a.OnProgress != nil {
		a.OnProgress(min(done, a.all), a.all)
	}
}

// spans returns what is to be read of the partitions. Records of open transactions are in it, and the reader waits for their
// ends: positions may be seen to move a moment before the records that moved them. Retries are read from their group's position:
// those below it are consumed, and may be trimmed.
func (a *auditor) spans(ctx context.Context, at *consumed, wanted func(int32) bool) ([]*logreader.Span, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	topics := a.Kafka.Topics(names)
	ends, err := a.ends(ctx, topics)
	if err != nil {
		return nil, err
	}
	var starts kadm.ListedOffsets
	if a.From.IsZero() {
		starts, err = kafka.Listed(a.admin.ListStartOffsets(ctx, topics...))
	} else {
		starts, err = kafka.Listed(a.admin.ListOffsetsAfterMilli(ctx, max(0, a.From.Add(-clockSkew).UnixMilli()), topics...))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the starts of topics: %w", err)
	}
	var spans []*logreader.Span
	for _, end := range ends.Offsets().Sorted() {
		if !wanted(end.Partition) {
			continue
		}
		start, _ := starts.Lookup(end.Topic, end.Partition)
		s := &logreader.Span{Topic: end.Topic[len(a.Kafka.Prefix):], Partition: end.Partition, First: start.Offset, End: end.At}
		group, chain := chains[s.Topic]
		if chain && at != nil {
			next, known := at.groups[group].At(end.Topic, end.Partition)
			if !known {
				return nil, fmt.Errorf("group %s has no position in %s partition %d: run `erpconnector topics check`", group, end.Topic, end.Partition)
			}
			if s.Topic != event.TopicRequested {
				s.First = next
			}
		}
		s.First = min(s.First, s.End)
		s.Next = s.First
		spans = append(spans, s)
	}
	return spans, nil
}

// ends are where the topics end at this moment, E. Records behind them are not read, whatever comes meanwhile.
func (a *auditor) ends(ctx context.Context, topics []string) (kadm.ListedOffsets, error) {
	ends, err := kafka.Listed(a.admin.ListEndOffsets(ctx, topics...))
	if err != nil {
		return nil, fmt.Errorf("reading the ends of topics: %w", err)
	}
	return ends, nil
}

// Take packs records into the buckets of their orders. It implements logreader.Sink.
func (p *partition) Take(_ context.Context, records []*kgo.Record) error {
	for _, r := range records {
		key := string(r.Key)
		if ref, err := domain.ParseKey(key); p.a.Source != "" && err == nil && ref.Source != p.a.Source {
			continue
		}
		p.entry = p.logRecord(r, key).append(appendText(p.entry[:0], key))
		if err := p.a.log.add(bucketOf(key, p.a.snapshot.buckets), p.entry); err != nil {
			return err
		}
	}
	return nil
}

// logRecord reads a record. It belongs to the order of its key, and there to a generation. The key decides, not the value: the value
// may be unreadable, and the key is what all services go by.
func (p *partition) logRecord(r *kgo.Record, key string) logRecord {
	e := p.a.Kafka.Event(r)
	out := logRecord{place: place{indexes[e.Topic], r.Offset}, at: e.OccurredAt()}
	if _, out.byOutbox = relayed[e.Topic]; out.byOutbox {
		out.uuid = hash(e.UUID())
		since := p.a.snapshot.keptSince
		out.old = !since.IsZero() && out.at.Before(since)
	}
	if e.Topic == event.TopicSalesOrder {
		return out
	}
	s, err := e.SyncOnly()
	readable := err == nil && s.Ref().Key() == key
	switch {
	case e.Topic == event.TopicCallback: // says nothing of its generation; one that cannot be read is no redrive
		if readable && s.IsRedrive() {
			out.redrive, out.readable, out.saying = s.Cause, true, sayingOf(s, r.Timestamp)
		}
	case readable:
		out.readable, out.saying = true, sayingOf(s, r.Timestamp)
	default:
		out.unreadable = !out.byOutbox // that one is unknown to the outbox, which says enough
	}
	return out
}
