package repair

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/logreader"
	"github.com/erpconnector/erpconnector/shared/reconcile"
)

// Order is an order of which something differs.
type Order struct {
	Key        string   `json:"order"`
	Events     []string `json:"events,omitempty"` // that the shop published, by their ids
	SyncID     int64    `json:"sync_id,omitempty"`
	Generation int      `json:"generation,omitempty"` // the newest that was lost
	Facts      int      `json:"facts,omitempty"`      // requests, releases, settlements and notes
	Again      int      `json:"again,omitempty"`      // rows that are not relayed a second time
	Reused     int      `json:"reused,omitempty"`     // rows that take new ids
}

// order is the one entry of an order in the report, whatever differs of it.
func (r *repairer) order(key string) *Order {
	o := r.orders[key]
	if o == nil {
		o = &Order{Key: key}
		r.orders[key] = o
	}
	return o
}

// note keeps what a lost record says, for the report.
func (r *repairer) note(record lostRecord) {
	o := r.order(string(record.Key))
	if record.topic == event.TopicSalesOrder {
		var e struct {
			EventID string `json:"event_id"`
		}
		if json.Unmarshal(record.Value, &e) == nil {
			o.Events = append(o.Events, e.EventID)
		}
		return
	}
	o.Facts++
	if v, err := r.Kafka.Event(record.Record).Sync(); err == nil {
		o.SyncID, o.Generation = v.Sync.SyncID, max(o.Generation, v.Sync.Generation)
	}
}

// noteRows keeps what differs in the outbox, for the report.
func (r *repairer) noteRows(found *reconcile.Comparison) {
	for _, row := range found.Repeated {
		r.order(row.Key).Again++
	}
	for _, row := range found.Reused {
		r.order(row.Key).Reused++
	}
}

// list reads the lost records to name their orders.
func (r *repairer) list(ctx context.Context, found *reconcile.Comparison) error {
	r.noteRows(found)
	err := r.eachLost(ctx, found, func(_ context.Context, records []lostRecord) error {
		for _, record := range records {
			r.note(record)
		}
		return nil
	})
	r.finishReport()
	return err
}

// finishReport lists orders by their keys: the next run's list is comparable to this one's.
func (r *repairer) finishReport() {
	keys := slices.Sorted(maps.Keys(r.orders))
	r.report.OrdersIn = len(keys)
	if r.Limit > 0 && len(keys) > r.Limit {
		keys = keys[:r.Limit]
	}
	for _, key := range keys {
		r.report.Orders = append(r.report.Orders, r.orders[key])
	}
}

// eachLost gives the lost records to use, some of one topic at a time; those of a partition in their order.
func (r *repairer) eachLost(ctx context.Context, found *reconcile.Comparison, use func(ctx context.Context, records []lostRecord) error) error {
	sink := &lostSink{prefix: r.Kafka.Prefix, places: map[reconcile.Record]int{}, use: use}
	spans := map[kafka.TopicPartition]*logreader.Span{}
	for place, record := range found.Lost {
		sink.places[record] = place
		at := kafka.TopicPartition{Topic: record.Topic, Partition: record.Partition}
		s := spans[at]
		if s == nil {
			s = &logreader.Span{Topic: at.Topic, Partition: at.Partition, First: record.Offset, Next: record.Offset}
			spans[at] = s
		}
		s.First, s.Next, s.End = min(s.First, record.Offset), min(s.First, record.Offset), max(s.End, record.Offset+1)
	}
	return logreader.Read(ctx, r.Kafka, slices.Collect(maps.Values(spans)), sink, func() error { return nil })
}

// lostRecord is one, and its place among all that are lost.
type lostRecord struct {
	*kgo.Record

	topic string // without the prefix
	place int
}

// lostSink passes on those of the records that are lost.
type lostSink struct {
	prefix string
	places map[reconcile.Record]int
	use    func(ctx context.Context, records []lostRecord) error
}

// Take passes on the lost ones among the records. It implements logreader.Sink.
func (s *lostSink) Take(ctx context.Context, all []*kgo.Record) error {
	byTopic := map[string][]lostRecord{}
	for _, r := range all {
		topic := r.Topic[len(s.prefix):]
		if place, lost := s.places[reconcile.Record{Topic: topic, Partition: r.Partition, Offset: r.Offset}]; lost {
			byTopic[topic] = append(byTopic[topic], lostRecord{r, topic, place})
		}
	}
	for _, topic := range reconcile.Topics { // an order's events before what follows from them
		for some := range slices.Chunk(byTopic[topic], maxRecords) {
			if err := s.use(ctx, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxRecords of one transaction.
const maxRecords = 200
