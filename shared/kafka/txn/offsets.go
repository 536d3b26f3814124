package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/run"
)

// Offset is the position of one partition: the first offset not done, and what is done beyond it.
type Offset struct {
	At       int64
	Metadata string
}

// Offsets are positions to commit as a member of a group.
type Offsets struct {
	Group      string
	Member     string
	Generation int32

	topics   map[string]map[int32]Offset
	topicIDs map[string][16]byte
}

// Add sets the position of a partition; the topic carries the prefix.
func (o *Offsets) Add(topic string, partition int32, at Offset) {
	if o.topics == nil {
		o.topics = map[string]map[int32]Offset{}
	}
	if o.topics[topic] == nil {
		o.topics[topic] = map[int32]Offset{}
	}
	o.topics[topic][partition] = at
}

// request is the offsets as a part of a transaction. The real member and generation are what fences a process that lost its
// partitions: an empty member is accepted on a live group. Topics are named by name and by id, as brokers differ in which
// they read.
func (o *Offsets) request(transactionalID string, producerID int64, epoch int16) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = transactionalID, o.Group
	req.ProducerID, req.ProducerEpoch = producerID, epoch
	req.MemberID, req.Generation = o.Member, o.Generation
	for topic, partitions := range o.topics {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, o.topicIDs[topic]
		for partition, at := range partitions {
			p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			p.Partition, p.Offset, p.LeaderEpoch = partition, at.At, -1
			p.Metadata = kmsg.StringPtr(at.Metadata)
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// write adds the offsets, if there are any, to the client's open transaction. declare tells the coordinator of the group first, which brokers
// without transactions version 2 (before 4.0, or upgraded without it) need: else they would never end the offsets' part.
func (o *Offsets) write(ctx context.Context, client *kgo.Client, transactionalID string, declare bool) error {
	switch {
	case o == nil:
		return nil
	case o.Member == "":
		return fmt.Errorf("%w: %s has no member yet", ErrNotOwner, o.Group)
	case len(o.topics) == 0:
		return nil
	}
	id, epoch, err := client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("reading the producer id: %w", err)
	}
	if declare {
		if err := o.declare(ctx, client, transactionalID, id, epoch); err != nil {
			return err
		}
	}
	return retryWhileBusy(ctx, func() error {
		resp, err := o.request(transactionalID, id, epoch).RequestWith(ctx, client)
		if err != nil {
			return fmt.Errorf("writing offsets of group %s: %w", o.Group, err)
		}
		return o.refusal(resp)
	})
}

func (o *Offsets) declare(ctx context.Context, client *kgo.Client, transactionalID string, id int64, epoch int16) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.Group = transactionalID, o.Group
	req.ProducerID, req.ProducerEpoch = id, epoch
	return retryWhileBusy(ctx, func() error {
		resp, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("adding group %s to the transaction: %w", o.Group, err)
		}
		return nil
	})
}

// retryWhileBusy repeats what is refused because the markers of this id's last transaction are still being written, or its
// coordinator is starting: both pass in milliseconds.
func retryWhileBusy(ctx context.Context, do func() error) error {
	wait := run.Backoff{Min: time.Millisecond, Max: 50 * time.Millisecond}
	for {
		err := do()
		if !errors.Is(err, kerr.ConcurrentTransactions) && !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			return err
		}
		if !wait.Sleep(ctx) {
			return errors.Join(err, ctx.Err())
		}
	}
}

func (o *Offsets) refusal(resp *kmsg.TxnOffsetCommitResponse) error {
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			if err == nil {
				continue
			}
			for _, refusal := range []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.FencedInstanceID} {
				if errors.Is(err, refusal) {
					err = fmt.Errorf("%w: %w", ErrNotOwner, err)
				}
			}
			return fmt.Errorf("group %s, %s partition %d: %w", o.Group, t.Topic, p.Partition, err)
		}
	}
	return nil
}
