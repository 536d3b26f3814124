// Package delayer moves parked retries down the ladder until they are due, and then into the due topic.
//
// A record waits in a rung for the rung's delay, or until it is due when that comes first; then it hops to the longest
// rung that does not pass its due time. In a rung every record waits equally long, so the order of arrival is the order
// of departure, and only the head of a partition has to be watched: what is parked costs no memory.
package delayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/pause"
)

const (
	pollMost     = 2_000 // records of one poll, and of one transaction
	bufferMost   = 500   // records a partition holds in memory before it is paused
	idleWait     = time.Second
	commitWithin = 9 * time.Second // the broker aborts a transaction after 10 s
	retryAfter   = 100 * time.Millisecond
)

// Params are what a Delayer is made of.
type Params struct {
	Kafka  kafka.Config
	SlotID string // transactional id, held by this process alone
	Log    *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Delayer is one instance; it is used for one Run.
type Delayer struct {
	cfg      kafka.Config
	log      *slog.Logger
	now      func() time.Time
	consumer *kafka.GroupConsumer
	producer *kafka.TxnProducer
	delays   map[string]time.Duration // by topic, with prefix
	down     bool                     // said in the log
	failed   bool                     // the last hop

	undecided bool // nobody knows yet whether the last hop was committed

	mu     sync.Mutex // held while hopping, so that a revocation returns only after the transaction has ended
	parked map[partition]*rung
}

type partition struct {
	topic string
	id    int32
}

// rung is one assigned partition: the records that were read and have not hopped yet.
type rung struct {
	delay   time.Duration
	records []*kgo.Record
	paused  bool
}

// New prepares a Delayer; Run connects it.
func New(p Params) *Delayer {
	d := &Delayer{
		cfg: p.Kafka, log: p.Log, now: p.Now,
		delays: map[string]time.Duration{}, parked: map[partition]*rung{},
	}
	if d.now == nil {
		d.now = time.Now
	}
	for _, r := range event.Ladder {
		d.delays[d.cfg.Topic(r.Topic)] = r.Delay
	}
	d.producer = kafka.NewTxnProducer(d.cfg, p.SlotID)
	return d
}

// Run works until ctx ends.
func (d *Delayer) Run(ctx context.Context) error {
	if err := d.fence(ctx); err != nil {
		return nil //nolint:nilerr // ctx ended before Kafka answered
	}
	var err error
	d.consumer, err = kafka.NewGroupConsumer(d.cfg, kafka.Consumer{
		Group: string(event.GroupDelayer), Topics: event.TopicsOf(event.GroupDelayer),
		OnAssigned: d.assigned, OnRevoked: d.dropAll, OnLost: d.dropAll,
	})
	if err != nil {
		return fmt.Errorf("delayer: joining its group: %w", err)
	}
	defer d.producer.Close()
	defer d.consumer.Close()
	for ctx.Err() == nil {
		if err := d.runOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fence ends what a killed holder of the slot left open, as an open transaction hides all later records of its
// partitions from readers. Without Kafka it tries until ctx ends.
func (d *Delayer) fence(ctx context.Context) error {
	for {
		open, cancel := context.WithTimeout(ctx, commitWithin)
		err := d.producer.Open(open)
		cancel()
		d.report(ctx, err)
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause.For(ctx, retryAfter)
	}
}

// runOnce waits for records or for the next one to be ready, and hops all that are.
func (d *Delayer) runOnce(ctx context.Context) error {
	pollCtx, cancel := context.WithTimeout(ctx, d.untilReady())
	fetches, err := d.consumer.Poll(pollCtx, pollMost)
	cancel()
	defer d.consumer.AllowRebalance()
	if errors.Is(err, kafka.ErrOffsetMissing) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.receive(fetches)
	err = errors.Join(ignoreDeadline(err), d.hop(ctx))
	d.report(ctx, err)
	d.failed = err != nil
	return nil
}

func (d *Delayer) receive(fetches kgo.Fetches) {
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		if r := d.parked[partition{ftp.Topic, ftp.Partition}]; r != nil {
			r.records = append(r.records, ftp.Records...)
		}
	})
	d.pauseFull()
}

// hop moves every record whose wait is over, in one Kafka transaction with the positions.
func (d *Delayer) hop(ctx context.Context) error {
	if err := d.decide(ctx); err != nil {
		return err
	}
	now := d.now()
	batch := kafka.Batch{}
	offsets, err := d.consumer.GroupOffsets(ctx)
	if err != nil {
		return err
	}
	moved := map[*rung]int{}
	for tp, r := range d.parked {
		n := 0
		for n < len(r.records) && len(batch.Records) < pollMost && !readyAt(r.records[n], r.delay).After(now) {
			batch.Records = append(batch.Records, d.onward(r.records[n], now))
			n++
		}
		if n > 0 {
			moved[r] = n
			offsets.Add(tp.topic, tp.id, kafka.OffsetMeta{Offset: r.records[n-1].Offset + 1, LeaderEpoch: -1})
		}
	}
	if len(batch.Records) == 0 {
		return nil
	}
	batch.Offsets = []kafka.GroupOffsets{offsets}
	if err := d.commit(ctx, batch); err != nil {
		return err
	}
	d.log.Debug("retries hopped", "records", len(batch.Records))
	d.measure(batch.Records)
	for r, n := range moved {
		r.records = r.records[n:]
	}
	d.pauseFull()
	return nil
}

func (d *Delayer) measure(moved []*kgo.Record) {
	now := d.now()
	for _, r := range moved {
		hops.WithLabelValues(r.Topic[len(d.cfg.Prefix):]).Inc()
		if due, err := due(r); err == nil && r.Topic == d.cfg.Topic(event.TopicDue) {
			lateSeconds.Observe(now.Sub(due).Seconds())
		}
	}
}

// commit writes the batch.
func (d *Delayer) commit(ctx context.Context, batch kafka.Batch) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitWithin)
	defer cancel()
	crash.Point("delayer.before_commit")
	if err := d.producer.Commit(ctx, batch); err != nil {
		d.undecided = errors.Is(err, kafka.ErrCommitUnknown)
		return fmt.Errorf("hopping %d retries: %w", len(batch.Records), err)
	}
	crash.Point("delayer.committed")
	return nil
}

// decide finds out what came of a hop whose end nobody confirmed, and forgets the records that it moved: nothing hops
// before that is known, as it would be in two places. Once a new client has fenced the old one the transaction is decided,
// and the group's positions say how.
func (d *Delayer) decide(ctx context.Context) error {
	if !d.undecided {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, commitWithin)
	defer cancel()
	if err := d.producer.Open(ctx); err != nil {
		return err
	}
	positions, err := d.consumer.Committed(ctx)
	if err != nil {
		return err
	}
	for tp, r := range d.parked {
		for len(r.records) > 0 && positions.Done(tp.topic, tp.id, r.records[0].Offset) {
			r.records = r.records[1:]
		}
	}
	d.undecided = false
	return nil
}

// onward is the same record, bytes and due time unchanged, in its next topic; one without a readable due time goes to
// the dead letters.
func (d *Delayer) onward(r *kgo.Record, now time.Time) *kgo.Record {
	due, err := due(r)
	if err != nil {
		d.log.Error("retry without a due time; it goes to the dead letters", "topic", r.Topic, "partition", r.Partition,
			"offset", r.Offset)
		return deadletter.Record(d.cfg, r, deadletter.Cause{By: deadletter.ByDelayer, Reason: err.Error()})
	}
	return &kgo.Record{Topic: d.cfg.Topic(event.RungFor(due, now)), Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// untilReady is how long a poll may wait: until the first head of a rung is ready, or a moment after a failure.
func (d *Delayer) untilReady() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed {
		return retryAfter
	}
	wait := idleWait
	now := d.now()
	for _, r := range d.parked {
		if len(r.records) > 0 {
			wait = min(wait, readyAt(r.records[0], r.delay).Sub(now))
		}
	}
	return max(wait, 0)
}

// readyAt is when a record may hop: after the rung's delay, or when due if that is earlier; at once if unreadable.
func readyAt(r *kgo.Record, delay time.Duration) time.Time {
	at := r.Timestamp.Add(delay)
	due, err := due(r)
	if err != nil {
		return r.Timestamp
	}
	if due.Before(at) {
		return due
	}
	return at
}

// pauseFull stops fetching partitions whose heads are not ready while enough of them is in memory.
func (d *Delayer) pauseFull() {
	for tp, r := range d.parked {
		full := len(r.records) >= bufferMost
		if full == r.paused {
			continue
		}
		r.paused = full
		one := map[string][]int32{tp.topic: {tp.id}}
		if full {
			d.consumer.Pause(one)
		} else {
			d.consumer.Resume(one)
		}
	}
}

func (d *Delayer) assigned(partitions []kafka.AssignedPartition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parked = map[partition]*rung{}
	for _, p := range partitions {
		d.parked[partition{p.Topic, p.Partition}] = &rung{delay: d.delays[p.Topic]}
	}
}

func (d *Delayer) dropAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parked = map[partition]*rung{}
}

// report tells the log when retries stand still and when they go on; an end that was asked for is neither.
func (d *Delayer) report(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return
	case err != nil && !d.down:
		d.log.Warn("retries cannot hop; trying until Kafka answers", "error", err)
	case err == nil && d.down:
		d.log.Info("retries hop again")
	}
	d.down = err != nil
}

// due is the record's due header, unix milliseconds.
func due(r *kgo.Record) (time.Time, error) {
	value := kafka.Header(r, event.HeaderDue)
	if value == nil {
		return time.Time{}, fmt.Errorf("header %s is missing", event.HeaderDue)
	}
	ms, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("header %s: %w", event.HeaderDue, err)
	}
	return time.UnixMilli(ms), nil
}

func ignoreDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
