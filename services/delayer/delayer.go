// Package delayer moves parked retries from tier to tier until they are due, and then into the due topic.
//
// Each tier is a topic with a delay. A record waits in its tier for that delay, or until it is due if that is earlier.
// Then it is forwarded to the longest tier that does not pass its due time. All records of a tier wait equally long, so
// they leave in the order in which they came. So the delayer needs to look only at the first record of each partition,
// and parked records take no memory.
package delayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/run"
)

// The session's limits.
const (
	pollRecords = 2_000
	batchTasks  = 2_000
	batchBytes  = 8 << 20
	maxWaiting  = 500 // records of a partition in memory, before it is paused
	idleCommit  = time.Second
)

// Params describes a Delayer.
type Params struct {
	Kafka    kafka.Config
	LeaseID  string        // its transactional id; only this process holds the lease
	Activity *txn.Activity // notes when records come; nil: nobody asks
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Delayer is one instance. It is used for one Run.
type Delayer struct {
	cfg     kafka.Config
	log     *slog.Logger
	now     func() time.Time
	delays  map[string]time.Duration // of the tiers, by topic (with the prefix)
	session *txn.Session
}

// New prepares a Delayer; Run connects it.
func New(p Params) *Delayer {
	d := &Delayer{cfg: p.Kafka, log: p.Log, now: p.Now, delays: map[string]time.Duration{}}
	if d.now == nil {
		d.now = time.Now
	}
	for _, tier := range event.RetryTiers {
		d.delays[d.cfg.Topic(tier.Topic)] = tier.Delay
	}
	d.session = txn.New(txn.Config{
		Kafka: p.Kafka, Name: "delayer", TransactionalID: p.LeaseID, MarkerTopic: event.TopicPosition,
		Group: string(event.GroupDelayer), Topics: event.TopicsOf(event.GroupDelayer),
		PollRecords: pollRecords, Backlog: maxWaiting, BatchTasks: batchTasks, BatchBytes: batchBytes, IdleCommit: idleCommit,
		Log: p.Log, Activity: p.Activity,
		Outage: &run.Outage{Began: "retries cannot be forwarded; trying until Kafka answers", Ended: "retries are forwarded again"},
	}, d)
	return d
}

// Run works until ctx ends.
func (d *Delayer) Run(ctx context.Context) error {
	err := d.session.Run(ctx)
	if err != nil && !errors.Is(err, txn.ErrOffsetMissing) {
		err = fmt.Errorf("delayer: %w", err)
	}
	return err
}

// Take forwards a record whose wait is over. Another one is offered again when its wait is over.
func (d *Delayer) Take(t *txn.Task) (taken bool, retryIn time.Duration) {
	now := d.now()
	if wait := readyAt(d.cfg.Event(t.Record), d.delays[t.Record.Topic]).Sub(now); wait > 0 {
		return false, wait
	}
	t.Finish(d.forward(t.Record, now))
	return true, 0
}

// forward returns the same record for its next topic: its bytes and due time do not change. A record without a readable
// due time goes to the dead letters.
func (d *Delayer) forward(r *kgo.Record, now time.Time) *kgo.Record {
	due, err := d.cfg.Event(r).Due()
	if err != nil {
		d.log.Error("retry without a due time; it goes to the dead letters", "topic", r.Topic, "partition", r.Partition,
			"offset", r.Offset)
		return deadletter.Record(d.cfg, r, deadletter.Cause{By: deadletter.ByDelayer, Reason: err.Error()})
	}
	return &kgo.Record{Topic: d.cfg.Topic(event.RetryTierFor(due, now)), Key: r.Key, Value: r.Value, Headers: r.Headers}
}

// Committed counts what was forwarded.
func (d *Delayer) Committed(tasks []*txn.Task) {
	d.log.Debug("retries forwarded", "records", len(tasks))
	now := d.now()
	for _, t := range tasks {
		for _, r := range t.Records() {
			forwarded.WithLabelValues(r.Topic[len(d.cfg.Prefix):]).Inc()
			if due, err := d.cfg.Event(r).Due(); err == nil && r.Topic == d.cfg.Topic(event.TopicDue) {
				lateSeconds.Observe(now.Sub(due).Seconds())
			}
		}
	}
}

// Refused makes a dead letter of a record that the brokers refuse. When they refuse that too, the dead letter only
// names the record.
func (d *Delayer) Refused(t *txn.Task, err error, times int) {
	d.log.Error("retry cannot be forwarded; it goes to the dead letters", "topic", t.Record.Topic, "partition", t.Record.Partition,
		"offset", t.Record.Offset)
	cause := deadletter.Cause{By: deadletter.ByDelayer, Reason: err.Error()}
	if times > 1 {
		t.Replace(deadletter.Reference(d.cfg, t.Record, cause))
		return
	}
	t.Replace(deadletter.Record(d.cfg, t.Record, cause))
}

// Prepare does nothing, as Dropped, Revoked and Resumed: a task is finished when it is taken, and its records are final.
func (d *Delayer) Prepare(context.Context, []*txn.Task) {}

// Dropped does nothing.
func (d *Delayer) Dropped([]*txn.Task) {}

// Revoked does nothing.
func (d *Delayer) Revoked() {}

// Resumed does nothing.
func (d *Delayer) Resumed([]int32) {}

// readyAt returns when a record may go on: after the tier's delay, or when it is due if that is earlier. A record
// without a readable due time may go on at once.
func readyAt(r event.View, delay time.Duration) time.Time {
	at := r.Timestamp.Add(delay)
	due, err := r.Due()
	if err != nil {
		return r.Timestamp
	}
	if due.Before(at) {
		return due
	}
	return at
}
