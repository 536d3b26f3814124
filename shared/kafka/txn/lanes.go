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

// How long a lane is left alone whose partitions take no records. A look at the brokers costs others nothing; a try that
// fails does.
const (
	laneInterval = 250 * time.Millisecond
	laneMinWait  = 250 * time.Millisecond
	laneMaxWait  = 10 * time.Second

	healthTimeout = 2 * time.Second
)

// Lanes are ways that records take, of which some may be held: their partitions take no records at the moment, and everybody
// else goes on. A Session's lanes are partition numbers. It may be used by several goroutines.
type Lanes[K comparable] struct {
	log *slog.Logger

	mu   sync.Mutex
	held map[K]*heldLane
	some atomic.Bool
}

type heldLane struct {
	since, until time.Time
	wait         run.Backoff
	topics       map[string]bool // that did not take a record
	trial        bool            // let go again, and nothing has been written yet
}

// NewLanes makes lanes of which none is held.
func NewLanes[K comparable](log *slog.Logger) *Lanes[K] {
	return &Lanes[K]{log: log, held: map[K]*heldLane{}}
}

// IsHeld reports whether the lane must wait.
func (l *Lanes[K]) IsHeld(lane K) bool {
	if !l.some.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[lane]
	return h != nil && !h.trial
}

// Any reports whether a lane is held, or on trial.
func (l *Lanes[K]) Any() bool { return l.some.Load() }

// Hold leaves the lane alone for a while, each time for longer. The topic (with the prefix) is the one that took no record.
func (l *Lanes[K]) Hold(lane K, topic string, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	h := l.held[lane]
	if h == nil {
		h = &heldLane{since: now, wait: run.Backoff{Min: laneMinWait, Max: laneMaxWait}, topics: map[string]bool{}}
		l.held[lane] = h
		l.some.Store(true)
		l.log.Warn("a partition takes no records; what is in it waits, others go on", "topic", topic, "lane", lane, "error", why)
	}
	if h.trial || h.until.IsZero() {
		h.until = now.Add(h.wait.Next())
	}
	h.topics[topic], h.trial = true, false
}

// Written tells that the lanes take records.
func (l *Lanes[K]) Written(lanes []K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range lanes {
		if h := l.held[lane]; h != nil {
			l.log.Info("a partition takes records again", "lane", lane, "after_ms", time.Since(h.since).Milliseconds())
			delete(l.held, lane)
		}
	}
	l.some.Store(len(l.held) > 0)
}

// Due are the held lanes that may be looked at, with the topics that took no record.
func (l *Lanes[K]) Due() map[K][]string {
	if !l.some.Load() {
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

// Try lets lanes go, on trial: the next record that is written or not tells.
func (l *Lanes[K]) Try(lanes []K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range lanes {
		if h := l.held[lane]; h != nil {
			h.trial = true
		}
	}
}

// Recheck lets those lanes go, on trial, of which it is time and the brokers say no ill: of the topics that took no record, no
// partition of the lane is sick. It returns them.
func (l *Lanes[K]) Recheck(ctx context.Context, health *kafka.Health, isOf func(lane K, tp kafka.TopicPartition) bool) (well []K) {
	for lane, topics := range l.Due() {
		asking, cancel := context.WithTimeout(ctx, healthTimeout)
		sick, err := health.Sick(asking, topics)
		cancel()
		ill := err != nil
		if err == nil {
			for tp := range sick.Why {
				ill = ill || (slices.Contains(topics, tp.Topic) && isOf(lane, tp))
			}
		}
		if !ill {
			well = append(well, lane)
		}
	}
	l.Try(well)
	return well
}

// Forget drops what is known: another process has the partitions from now on.
func (l *Lanes[K]) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = map[K]*heldLane{}
	l.some.Store(false)
}
