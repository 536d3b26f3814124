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
	// errRestart ends a session after a failure that the next session will not meet again. The next one begins at once,
	// with a new producer and the position from Kafka.
	errRestart = errors.New("the relay starts a new session")

	errTopicMissing = errors.New("a topic is missing: run `erpconnector topics ensure`; the rows wait in the outbox")
)

// openProducer returns when all former producers are fenced and their transactions decided.
func openProducer(ctx context.Context, p *txn.Producer) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	return p.Open(ctx)
}

// commit starts the transaction of one batch. After the end of ctx the transaction gets stopTimeout, so that a process
// that stops can finish it.
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

// commitRows writes the rows and the position in one transaction.
func (s *session) commitRows(ctx context.Context, rows []outbox.Row, at checkpoint.Position) error {
	records := s.records(rows)
	position, err := at.Record()
	if err != nil {
		return err
	}
	position.Topic = s.r.p.Kafka.Topic(event.TopicPosition)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := s.r.producer.Commit(ctx, txn.Batch{Records: append(records, position)}); err != nil {
		return s.adapt(ctx, rows, err)
	}
	failpoint.Hit("relay.committed")
	batches.Observe(time.Since(at.At).Seconds())
	relayed.Add(float64(len(rows)))
	s.noteWritten(rows)
	s.r.outage.Report(s.r.p.Log, nil)
	s.r.p.Log.Debug("rows relayed", "rows", len(rows), "last_id", at.LastID, "took_ms", time.Since(at.At).Milliseconds())
	return nil
}

// records returns the rows' records for Kafka, with room for one more. They share memory with the rows. A row that the brokers have
// refused becomes a dead letter.
func (s *session) records(rows []outbox.Row) []*kgo.Record {
	n := 0
	for _, row := range rows {
		n += len(row.Headers) + 1
	}
	all, headers := make([]kgo.Record, len(rows)), make([]kgo.RecordHeader, 0, n)
	records := make([]*kgo.Record, 0, len(rows)+1)
	for i, row := range rows {
		if why, refused := s.r.refused[row.ID]; refused {
			records = append(records, deadletter.Unrelayed(s.r.p.Kafka, row.Topic, string(row.Key), row.ID, why))
			continue
		}
		from := len(headers)
		for _, h := range row.Headers {
			headers = append(headers, kgo.RecordHeader(h))
		}
		headers = append(headers, kgo.RecordHeader{Key: event.HeaderUUID, Value: row.UUID})
		all[i] = kgo.Record{Topic: s.topicOf(row), Key: row.Key, Value: row.Payload, Headers: headers[from:len(headers):len(headers)]}
		records = append(records, &all[i])
	}
	return records
}

// topicOf returns the name of the row's topic on the cluster.
func (s *session) topicOf(row outbox.Row) string {
	name, known := s.topics[row.Topic]
	if !known {
		name = s.r.p.Kafka.Topic(row.Topic)
		s.topics[row.Topic] = name
	}
	return name
}

// noteWritten lets the batch grow again after a refusal, and resumes the lanes of the rows.
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
	return checkpoint.Lane(s.r.p.Kafka, row.Topic, string(row.Key), s.partitions)
}

// adapt finds out from a failed transaction how the next session can avoid the failure. Nothing of the transaction is
// in Kafka.
func (s *session) adapt(ctx context.Context, rows []outbox.Row, failed error) error {
	var unavailable *txn.UnavailableError
	var refused *txn.RefusedError
	switch {
	case errors.Is(failed, kerr.UnknownTopicOrPartition):
		return s.holdMissingTopics(ctx, rows, failed)
	case errors.As(failed, &refused) && len(rows) > 1:
		s.r.rows = max(1, len(rows)/2)
		return errRestart
	case errors.As(failed, &refused):
		s.refuse(rows[0], refused.Err)
		return errRestart
	case errors.As(failed, &unavailable):
		return s.holdLanes(rows, unavailable, failed)
	}
	return failed
}

// holdLanes holds the lanes of the rows that were not written.
func (s *session) holdLanes(rows []outbox.Row, unavailable *txn.UnavailableError, failed error) error {
	held := false
	for _, index := range unavailable.Records {
		if index < len(rows) { // the last record is the position
			s.r.lanes.Hold(s.laneOf(rows[index]), s.r.p.Kafka.Topic(rows[index].Topic), unavailable.Err)
			held = true
		}
	}
	if !held {
		return failed
	}
	return errRestart
}

// holdMissingTopics finds out which topics are missing. A missing topic of the connector stops the relay. Rows for
// another missing topic wait until somebody creates it.
func (s *session) holdMissingTopics(ctx context.Context, rows []outbox.Row, failed error) error {
	names := map[string]bool{}
	for _, row := range rows {
		names[s.r.p.Kafka.Topic(row.Topic)] = true
	}
	details, err := kadm.NewClient(s.client).ListTopics(ctx, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return failed
	}
	held := false
	for _, row := range rows {
		topic := s.r.p.Kafka.Topic(row.Topic)
		switch {
		case !errors.Is(details[topic].Err, kerr.UnknownTopicOrPartition):
		case event.IsTopic(row.Topic):
			return fmt.Errorf("%w (%s)", errTopicMissing, topic)
		default:
			s.r.lanes.Hold(s.laneOf(row), topic, errors.New("the topic does not exist"))
			held = true
		}
	}
	if !held {
		return failed
	}
	return errRestart
}

// refuse lets the next session write a dead letter in place of the row.
func (s *session) refuse(row outbox.Row, why error) {
	s.r.refused[row.ID] = why.Error()
	s.r.p.Log.Error("row cannot be relayed; a dead letter names it", "id", row.ID, "topic", s.r.p.Kafka.Topic(row.Topic), "error", why)
}
