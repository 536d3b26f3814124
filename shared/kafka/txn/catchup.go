package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	catchUpBytes   = 256 << 10 // of one read; a larger record comes whole
	catchUpTimeout = 5 * time.Second
)

// errEndsBefore may be told by a leader that is new and behind.
var errEndsBefore = errors.New("the partition ends before that")

// catchUpNow wakes catchUp.
func (s *Session) catchUpNow() {
	select {
	case s.toRead <- struct{}{}:
	default:
	}
}

// catchUp reads records again that were passed over, as soon as too few of their flows wait. The group's own reading of
// the partition goes on meanwhile.
func (s *Session) catchUp(done <-chan struct{}) {
	wait := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for {
		select {
		case <-s.toRead:
		case <-done:
			return
		}
		a := s.current.Load()
		if a == nil {
			continue
		}
		if err := s.readBehind(a); err != nil {
			s.cfg.Outage.Report(s.cfg.Log, err)
			if !wait.Sleep(s.stopped) {
				return
			}
			s.catchUpNow()
			continue
		}
		wait.Reset()
	}
}

// readBehind reads once in each partition where it is needed, and offers what it has read. The offer wakes catchUp when
// more is to be read.
func (s *Session) readBehind(a *assignment) error {
	var failed error
	for _, at := range a.toRead() {
		ctx, cancel := context.WithTimeout(a.ctx, catchUpTimeout)
		records, next, err := s.member.fetch(ctx, at.p.TopicPartition, at.from)
		cancel()
		if a.ctx.Err() != nil {
			return nil
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		a.mu.Lock()
		at.p.receiveBehind(at.from, next, records, s.flowOf)
		a.mu.Unlock()
		s.offer(a)
	}
	return failed
}

// place is an offset of a partition.
type place struct {
	p    *partition
	from int64
}

// toRead returns where records that were passed over must be read now.
func (a *assignment) toRead() (places []place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopping.Load() {
		return nil
	}
	for _, p := range a.partitions {
		if from, needed := p.toRead(); needed {
			places = append(places, place{p, from})
		}
	}
	return places
}

// fetch reads committed records of a partition from an offset on, beside the group's own reading. The next read begins
// at next.
func (m *member) fetch(ctx context.Context, from kafka.TopicPartition, offset int64) (records []*kgo.Record, next int64, err error) {
	records, next, err = m.fetchOnce(ctx, from, offset)
	if errors.Is(err, kerr.OffsetOutOfRange) {
		err = m.outOfRange(ctx, from.Topic, from.Partition, err)
	}
	if err != nil {
		m.client.ForceMetadataRefresh() // the partition may have another leader
		m.beside.ForceMetadataRefresh() // the leader may be at another address
		return nil, offset, fmt.Errorf("reading %s partition %d from offset %d again: %w", from.Topic, from.Partition, offset, err)
	}
	return records, next, nil
}

func (m *member) fetchOnce(ctx context.Context, from kafka.TopicPartition, offset int64) ([]*kgo.Record, int64, error) {
	ids, err := m.ids(ctx)
	if err != nil {
		return nil, 0, err
	}
	leader, _, err := m.client.PartitionLeader(from.Topic, from.Partition)
	if err == nil && leader < 0 {
		err = kerr.LeaderNotAvailable
	}
	if err != nil {
		return nil, 0, err
	}
	reply, err := m.beside.Broker(int(leader)).RetriableRequest(ctx, fetchRequest(from, ids[from.Topic], offset))
	if err != nil {
		return nil, 0, err
	}
	answer, ok := reply.(*kmsg.FetchResponse)
	switch {
	case !ok:
		return nil, 0, fmt.Errorf("the broker answers a fetch by %T", reply)
	case answer.ErrorCode != 0:
		return nil, 0, kerr.ErrorForCode(answer.ErrorCode)
	case len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1:
		return nil, 0, errors.New("the broker's answer does not name the partition")
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Topic: from.Topic, Partition: from.Partition, Offset: offset, IsolationLevel: kgo.ReadCommitted(),
	}, &answer.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	switch {
	case fetched.Err != nil:
		return nil, 0, fetched.Err
	case next <= offset:
		return nil, 0, errEndsBefore
	}
	return fetched.Records, next, nil
}

// fetchRequest reads one partition, without a session and without waiting. Topics carry their name and their id, as
// versions of the protocol differ in which they use.
func fetchRequest(from kafka.TopicPartition, id [16]byte, offset int64) *kmsg.FetchRequest {
	const (
		readCommitted = 1
		noSession     = -1
	)
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes, req.IsolationLevel, req.SessionEpoch = catchUpBytes, readCommitted, noSession
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = from.Topic, id
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = from.Partition, offset, catchUpBytes
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	return req
}
