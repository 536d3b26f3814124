package txn

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// How long a lane waits whose partitions take no records. Asking the brokers costs other lanes nothing, but a failed
// try does. So the wait grows.
const (
	laneInterval = 250 * time.Millisecond
	laneMinWait  = 250 * time.Millisecond
	laneMaxWait  = 10 * time.Second

	healthTimeout = 2 * time.Second
)

// Lanes knows which lanes are held: their partitions take no records at the moment, and all other lanes go on. A
// Session's lanes are partition numbers. It is safe for concurrent use.
type Lanes[K comparable] struct {
	log *slog.Logger

	mu      sync.Mutex
	held    map[K]*heldLane
	anyHeld atomic.Bool
}

type heldLane struct {
	since, until time.Time
	wait         run.Backoff
	topics       map[string]bool // that took no record
	trial        bool            // the lane goes on, but no record has been written yet
}

// NewLanes returns lanes of which none is held.
func NewLanes[K comparable](log *slog.Logger) *Lanes[K] {
	return &Lanes[K]{log: log, held: map[K]*heldLane{}}
}

// IsHeld reports whether the lane must wait.
func (l *Lanes[K]) IsHeld(lane K) bool {
	if !l.anyHeld.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[lane]
	return h != nil && !h.trial
}

// Any reports whether a lane is held, or on trial.
func (l *Lanes[K]) Any() bool { return l.anyHeld.Load() }

// Hold makes the lane wait, each time for longer. topic (with the prefix) is the one that took no record.
func (l *Lanes[K]) Hold(lane K, topic string, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	h := l.held[lane]
	if h == nil {
		h = &heldLane{since: now, wait: run.Backoff{Min: laneMinWait, Max: laneMaxWait}, topics: map[string]bool{}}
		l.held[lane] = h
		l.anyHeld.Store(true)
		l.log.Warn("a partition takes no records; what is in it waits, others go on", "topic", topic, "lane", lane, "error", why)
	}
	if h.trial || h.until.IsZero() {
		h.until = now.Add(h.wait.Next())
	}
	h.topics[topic], h.trial = true, false
}

// Written ends the trials of lanes whose partitions have taken a record. A lane that is held goes on waiting: the record was on its way
// when the lane was held, perhaps to another topic, and only Recheck has the work that was kept back go on.
func (l *Lanes[K]) Written(lanes []K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range lanes {
		if h := l.held[lane]; h != nil && h.trial {
			l.log.Info("a partition takes records again", "lane", lane, "after_ms", time.Since(h.since).Milliseconds())
			delete(l.held, lane)
		}
	}
	l.anyHeld.Store(len(l.held) > 0)
}

// Due returns the held lanes whose wait is over, each with the topics that took no record.
func (l *Lanes[K]) Due() map[K][]string {
	if !l.anyHeld.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	due := map[K][]string{}
	for lane, h := range l.held {
		if !h.trial && !time.Now().Before(h.until) {
			due[lane] = slices.Sorted(maps.Keys(h.topics))
		}
	}
	return due
}

// Try lets lanes go on, on trial: the next record decides, by being written or not.
func (l *Lanes[K]) Try(lanes []K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range lanes {
		if h := l.held[lane]; h != nil {
			h.trial = true
		}
	}
}

// Recheck asks the brokers about the lanes whose wait is over. It lets those go on, on trial, whose partitions are
// available in all topics that took no record, and returns them.
func (l *Lanes[K]) Recheck(ctx context.Context, health *kafka.Health, isOf func(lane K, tp kafka.TopicPartition) bool) (resumed []K) {
	for lane, topics := range l.Due() {
		timeout, cancel := context.WithTimeout(ctx, healthTimeout)
		found, err := health.Unavailable(timeout, topics)
		cancel()
		unavailable := err != nil
		if err == nil {
			for tp := range found.Reasons {
				unavailable = unavailable || (slices.Contains(topics, tp.Topic) && isOf(lane, tp))
			}
		}
		if !unavailable {
			resumed = append(resumed, lane)
		}
	}
	l.Try(resumed)
	return resumed
}

// Forget forgets all held lanes: the partitions have another owner from now on.
func (l *Lanes[K]) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = map[K]*heldLane{}
	l.anyHeld.Store(false)
}
