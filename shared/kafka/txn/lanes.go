package txn

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// How long a lane is left alone whose partitions take no records. A look at the brokers costs others nothing; a try that
// fails does.
const (
	laneInterval = 250 * time.Millisecond
	laneMinWait  = 250 * time.Millisecond
	laneMaxWait  = 10 * time.Second
)

// lanes are those that are held: their partitions take no records at the moment, and everybody else goes on.
type lanes struct {
	log *slog.Logger

	mu   sync.Mutex
	held map[int32]*heldLane
}

type heldLane struct {
	since, until time.Time
	wait         run.Backoff
	topics       map[string]bool // that did not take a record
	trial        bool            // let go again, and nothing has been written yet
}

func newLanes(log *slog.Logger) *lanes { return &lanes{log: log, held: map[int32]*heldLane{}} }

// isHeld reports whether the lane must wait.
func (l *lanes) isHeld(lane int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.held[lane]
	return h != nil && !h.trial
}

func (l *lanes) any() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held) > 0
}

// hold leaves the lane alone for a while, each time for longer. The topic is the one that took no record.
func (l *lanes) hold(lane int32, topic string, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	h := l.held[lane]
	if h == nil {
		h = &heldLane{since: now, wait: run.Backoff{Min: laneMinWait, Max: laneMaxWait}, topics: map[string]bool{}}
		l.held[lane] = h
		l.log.Warn("a partition takes no records; what is in it waits, others go on", "topic", topic, "partition", lane, "error", why)
	}
	if h.trial || h.until.IsZero() {
		h.until = now.Add(h.wait.Next())
	}
	h.topics[topic], h.trial = true, false
}

// written tells that the lanes take records.
func (l *lanes) written(all []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range all {
		if h := l.held[lane]; h != nil {
			l.log.Info("a partition takes records again", "partition", lane, "after_ms", time.Since(h.since).Milliseconds())
			delete(l.held, lane)
		}
	}
}

// due are the held lanes that may be looked at, with the topics that took no record.
func (l *lanes) due(now time.Time) map[int32][]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := map[int32][]string{}
	for lane, h := range l.held {
		if !h.trial && !now.Before(h.until) {
			due[lane] = slices.Sorted(maps.Keys(h.topics))
		}
	}
	return due
}

// try lets lanes go, on trial.
func (l *lanes) try(lanes []int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, lane := range lanes {
		if h := l.held[lane]; h != nil {
			h.trial = true
		}
	}
}

// forget drops what is known: another process owns the partitions from now on.
func (l *lanes) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = map[int32]*heldLane{}
}
