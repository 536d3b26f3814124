package txn

import (
	"context"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// IsHeld reports whether a lane's partitions take no records at the moment. Tasks of such a lane must wait.
func (s *Session) IsHeld(lane int32) bool { return s.lanes.IsHeld(lane) }

// Hold holds a lane because a record of it could not be written to the topic (named with the prefix). The lane waits
// until the brokers take records there again; then Resumed is called. Hold is false when no broker answers: then all
// lanes fail alike, and the caller should retry.
func (s *Session) Hold(ctx context.Context, lane int32, topic string, why error) bool {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	found, err := s.health.Unavailable(ctx, []string{topic})
	if err != nil {
		return false
	}
	if reason, is := found.Reasons[kafka.TopicPartition{Topic: topic, Partition: lane}]; is {
		why = fmt.Errorf("%s: %w", reason, why)
	}
	s.lanes.Hold(lane, topic, why)
	return true
}

// watchLanes resumes held lanes, on trial, once the brokers report their partitions as available.
func (s *Session) watchLanes(done <-chan struct{}) {
	tick := time.NewTicker(laneInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-done:
			return
		}
		lanes := s.lanes.Recheck(s.stopped, s.health, func(lane int32, tp kafka.TopicPartition) bool { return tp.Partition == lane })
		if len(lanes) == 0 {
			continue
		}
		s.handler.Resumed(lanes)
		s.finished.wake()
		s.offerAgain()
	}
}

// holdUnwritten holds the lanes of the tasks whose records were not written. It returns the other tasks, which go on at once.
func (s *Session) holdUnwritten(batch []*Task, unavailable *UnavailableError) (others []*Task) {
	unwritten := map[int]bool{} // by the record's index in the transaction
	for _, index := range unavailable.Records {
		unwritten[index] = true
	}
	var held []*Task
	index, topic := 0, ""
	for _, t := range batch {
		hold := false
		for _, r := range t.records {
			if unwritten[index] {
				hold, topic = true, r.Topic
			}
			index++
		}
		if hold {
			held = append(held, t)
			s.lanes.Hold(t.Lane(), topic, unavailable.Err)
		} else {
			others = append(others, t)
		}
	}
	// Other tasks of a held lane wait too, so that the records of a key keep their order.
	kept := others[:0]
	for _, t := range others {
		if s.lanes.IsHeld(t.Lane()) {
			held = append(held, t)
		} else {
			kept = append(kept, t)
		}
	}
	s.putBack(held)
	return kept
}

func (s *Session) holdTasks(batch []*Task, topic string, why error) {
	for _, t := range batch {
		s.lanes.Hold(t.Lane(), topic, why)
	}
	s.putBack(batch)
}

// putBack lets tasks wait for their lane. At a hand-over it drops them instead: the next owner works on their records.
func (s *Session) putBack(tasks []*Task) {
	var waiting, dropped []*Task
	for _, t := range tasks {
		if t.Stopping() {
			dropped = append(dropped, t)
		} else {
			waiting = append(waiting, t)
		}
	}
	s.finished.putFirst(waiting)
	s.drop(dropped)
}
