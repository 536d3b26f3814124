package syncer

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// roomPerClass bounds the works in memory of each class, as a multiple of the calls in flight. Each class has its own
// room, so that a backlog of requests keeps no due retry out.
const roomPerClass = 8

// receive adds polled records to their partitions' backlogs. Records of partitions that are no longer ours are left
// alone: their next owner reads them.
func (s *Syncer) receive(a *assignment, fetches kgo.Fetches) {
	a.mu.Lock()
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		if p := a.partitions[topicPartition{ftp.Topic, ftp.Partition}]; p != nil {
			p.backlog = append(p.backlog, ftp.Records...)
		}
	})
	a.mu.Unlock()
	s.intake(a)
}

// intake begins what there is room for, and pauses the partitions whose records must wait.
func (s *Syncer) intake(a *assignment) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping.Load() {
		return
	}
	for _, p := range a.partitions {
		for len(p.backlog) > 0 && s.queue.length(p.class) < s.room && p.tracker.CanBegin(p.backlog[0].Offset) {
			s.begin(p, p.backlog[0])
			p.backlog[0] = nil
			p.backlog = p.backlog[1:]
		}
		s.pause(p, len(p.backlog) > 0)
	}
	queued.WithLabelValues("due").Set(float64(s.queue.length(classDue)))
	queued.WithLabelValues("requested").Set(float64(s.queue.length(classRequested)))
}

func (s *Syncer) pause(p *partition, pause bool) {
	if p.paused == pause {
		return
	}
	p.paused = pause
	one := map[string][]int32{p.topic: {p.id}}
	if pause {
		s.consumer.Pause(one)
	} else {
		s.consumer.Resume(one)
	}
}

// begin turns a record into a work. What is not to be sent is done at once: a held request, a record nobody can read.
func (s *Syncer) begin(p *partition, r *kgo.Record) {
	if !p.tracker.Begin(r.Offset) {
		return // done before a crash or a rebalance, out of order
	}
	w := &work{part: p, record: r, class: p.class, key: string(r.Key), trace: string(kafka.Header(r, event.HeaderTraceparent))}
	value, err := decode(r)
	w.value = value
	held := value.Sync.Released != nil && !*value.Sync.Released
	if err == nil && !held {
		w.queued = true
		s.queue.push(w)
		return
	}
	if err != nil {
		s.dead(w, err)
	}
	p.assignment.started.Add(1) // under its lock, and not stopping
	s.inbox.put(w)
}

func decode(r *kgo.Record) (event.Sync, error) {
	v, err := event.DecodeSync(r.Value)
	if err != nil {
		return v, err
	}
	if key := v.Sync.Ref().Key(); key != string(r.Key) {
		return v, fmt.Errorf("the record's key %s is not that of its order, %s", strconv.Quote(string(r.Key)), key)
	}
	return v, nil
}
