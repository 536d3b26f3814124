// Package delayer moves parked retries from tier to tier until they are due, and then into the due topic.
//
// A record waits in a tier for the tier's delay, or until it is due when that comes first; then it is forwarded to the longest
// tier that does not pass its due time. In a tier every record waits equally long, so the order of arrival is the order
// of departure, and only the head of a partition has to be watched: what is parked costs no memory.
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
	maxWaiting  = 500 // records that a partition holds in memory before it is paused
	idleCommit  = time.Second
)

// Params are what a Delayer is made of.
type Params struct {
	Kafka   kafka.Config
	LeaseID string // its transactional ids begin with it; held by this process alone
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Delayer is one instance; it is used for one Run.
type Delayer struct {
	cfg     kafka.Config
	log     *slog.Logger
	now     func() time.Time
	delays  map[string]time.Duration // by topic, with prefix
	session *txn.Session
}

// New prepares a Delayer; Run connects it.
func New(p Params) *Delayer {
	d := &Delayer{cfg: p.Kafka, log: p.Log, now: p.Now, delays: map[string]time.Duration{}}
	if d.now == nil {
		d.now = time.Now
	}
	for _, r := range event.RetryTiers {
		d.delays[d.cfg.Topic(r.Topic)] = r.Delay
	}
	d.session = txn.New(txn.Config{
		Kafka: p.Kafka, Name: "delayer", Slot: p.LeaseID, Group: string(event.GroupDelayer), Topics: event.TopicsOf(event.GroupDelayer), Markers: event.TopicPosition,
		PollRecords: pollRecords, Backlog: maxWaiting, BatchTasks: batchTasks, BatchBytes: batchBytes, IdleCommit: idleCommit,
		Log: p.Log, Outage: &run.Outage{Began: "retries cannot be forwarded; trying until Kafka answers", Ended: "retries are forwarded again"},
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

// Take forwards a record whose wait is over; one whose wait is not is offered again when it is.
func (d *Delayer) Take(t *txn.Task) (taken bool, again time.Duration) {
	now := d.now()
	if wait := readyAt(d.cfg.Event(t.Record), d.delays[t.Record.Topic]).Sub(now); wait > 0 {
		return false, wait
	}
	t.Finish(d.onward(t.Record, now))
	return true, 0
}

// onward is the same record, bytes and due time unchanged, in its next topic; one without a readable due time goes to
// the dead letters.
func (d *Delayer) onward(r *kgo.Record, now time.Time) *kgo.Record {
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

// Refused keeps what the brokers take nowhere as a dead letter; if not even that, as one that says where it stands.
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

// Prepare has nothing to do, as Dropped, Revoked and Resumed have not: a task ends when it is taken, and its records are final.
func (d *Delayer) Prepare(context.Context, []*txn.Task) {}

// Dropped does nothing.
func (d *Delayer) Dropped([]*txn.Task) {}

// Revoked does nothing.
func (d *Delayer) Revoked() {}

// Resumed does nothing.
func (d *Delayer) Resumed([]int32) {}

// readyAt is when a record may go on: after the tier's delay, or when due if that is earlier; at once if unreadable.
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
