package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

const (
	openTimeout   = 10 * time.Second
	commitTimeout = 15 * time.Second // a transaction that takes longer has timed out on the broker
)

var (
	// errLearned ends a session that has learned how to go on: the next one begins at once. Its position is read anew, after the
	// producer was fenced anew.
	errLearned = errors.New("the relay begins anew")

	errTopicMissing = errors.New("a topic is missing: run `erpconnector topics ensure`; what is to be relayed waits in the outbox")
)

// openProducer returns when the producers before it are fenced and their transactions decided.
func openProducer(ctx context.Context, p *txn.Producer) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return p.Open(ctx)
}

// commit starts the transaction of one batch. It outlives the end of ctx by stopTimeout, so that a process that stops
// finishes what it has begun.
func (s *session) commit(ctx context.Context, rows []outbox.Row, at checkpoint.Position) <-chan error {
	done := make(chan error, 1)
	go func() {
		commit, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
		defer stop()
		done <- s.commitRows(commit, rows, at)
	}()
	return done
}

func (s *session) commitRows(ctx context.Context, rows []outbox.Row, at checkpoint.Position) error {
	records := make([]*kgo.Record, 0, len(rows)+1)
	for _, row := range rows {
		records = append(records, s.record(row))
	}
	position, err := at.Record()
	if err != nil {
		return err
	}
	position.Topic = s.r.p.Kafka.Topic(event.TopicPosition)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := s.r.producer.Commit(ctx, txn.Batch{Records: append(records, position)}); err != nil {
		return s.learn(ctx, rows, err)
	}
	failpoint.Hit("relay.committed")
	batches.Observe(time.Since(at.At).Seconds())
	relayed.Add(float64(len(rows)))
	s.noteWritten(rows)
	s.r.p.Log.Debug("rows relayed", "rows", len(rows), "last_id", at.LastID, "took_ms", time.Since(at.At).Milliseconds())
	return nil
}

// record is the row as it goes to Kafka.
func (s *session) record(row outbox.Row) *kgo.Record {
	if why, refused := s.r.refused[row.ID]; refused {
		return deadletter.Unrelayed(s.r.p.Kafka, row.Topic, row.Message.Metadata.Get(outbox.MetadataPartitionKey), row.ID, why)
	}
	return s.r.p.Kafka.Record(outbox.FromMessage(row.Topic, row.Message))
}

func (s *session) noteWritten(rows []outbox.Row) {
	s.r.rows = min(2*s.r.rows, max(outbox.DefaultRows, s.r.p.Limits.Rows))
	for _, row := range rows {
		delete(s.r.refused, row.ID)
	}
	if !s.r.lanes.Any() {
		return
	}
	var lanes []string
	for _, row := range rows {
		lanes = append(lanes, s.laneOf(row))
	}
	s.r.lanes.Written(lanes)
}

func (s *session) laneOf(row outbox.Row) string {
	return checkpoint.Lane(s.r.p.Kafka, row.Topic, row.Message.Metadata.Get(outbox.MetadataPartitionKey), s.partitions)
}

// learn takes from a failed transaction what lets the next session go on: nothing of it is in Kafka.
func (s *session) learn(ctx context.Context, rows []outbox.Row, failed error) error {
	var unavailable *txn.UnavailableError
	var refused *txn.RefusedError
	switch {
	case errors.Is(failed, kerr.UnknownTopicOrPartition):
		return s.learnTopics(ctx, rows, failed)
	case errors.As(failed, &refused) && len(rows) > 1:
		s.r.rows = max(1, len(rows)/2)
		return errLearned
	case errors.As(failed, &refused):
		s.refuse(rows[0], refused.Err)
		return errLearned
	case errors.As(failed, &unavailable):
		return s.learnLanes(rows, unavailable, failed)
	}
	return failed
}

// learnLanes holds the lanes of the rows that were not written.
func (s *session) learnLanes(rows []outbox.Row, unavailable *txn.UnavailableError, failed error) error {
	held := false
	for _, place := range unavailable.Records {
		if place < len(rows) { // the last record is the position
			s.r.lanes.Hold(s.laneOf(rows[place]), s.r.p.Kafka.Topic(rows[place].Topic), unavailable.Err)
			held = true
		}
	}
	if !held {
		return failed
	}
	return errLearned
}

// learnTopics finds out which topics are missing. One of the connector's stops the relay; rows for one that nobody has made yet
// wait until somebody does.
func (s *session) learnTopics(ctx context.Context, rows []outbox.Row, failed error) error {
	names := map[string]bool{}
	for _, row := range rows {
		names[s.r.p.Kafka.Topic(row.Topic)] = true
	}
	details, err := kadm.NewClient(s.asking).ListTopics(ctx, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return failed
	}
	learned := false
	for _, row := range rows {
		topic := s.r.p.Kafka.Topic(row.Topic)
		switch {
		case !errors.Is(details[topic].Err, kerr.UnknownTopicOrPartition):
		case event.IsTopic(row.Topic):
			return fmt.Errorf("%w (%s)", errTopicMissing, topic)
		default:
			s.r.lanes.Hold(s.laneOf(row), topic, errors.New("the topic does not exist"))
			learned = true
		}
	}
	if !learned {
		return failed
	}
	return errLearned
}

// refuse makes a dead letter of the row, the next time.
func (s *session) refuse(row outbox.Row, why error) {
	s.r.refused[row.ID] = why.Error()
	s.r.p.Log.Error("row cannot be relayed; a dead letter names it", "id", row.ID, "topic", s.r.p.Kafka.Topic(row.Topic), "error", why)
}
