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

// Offset is the position of one partition: the first offset that is not done, and metadata about what is done after it.
type Offset struct {
	At       int64
	Metadata string
}

// Offsets are positions that a member of a group commits.
type Offsets struct {
	Group      string
	Member     string
	Generation int32

	topics   map[string]map[int32]Offset
	topicIDs map[string][16]byte
}

// Add sets the position of a partition. The topic carries the prefix.
func (o *Offsets) Add(topic string, partition int32, at Offset) {
	if o.topics == nil {
		o.topics = map[string]map[int32]Offset{}
	}
	if o.topics[topic] == nil {
		o.topics[topic] = map[int32]Offset{}
	}
	o.topics[topic][partition] = at
}

// request makes the request that adds the offsets to a transaction. The member and generation fence a process that has
// lost its partitions; without a member the broker would take the offsets from anybody. Topics carry their name and
// their id, as versions of the protocol differ in which they use.
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

// write adds the offsets, if there are any, to the client's open transaction. declare adds the group first. Brokers without
// transactions version 2 need that (before 4.0, or upgraded without it): otherwise the offsets would stay pending for ever.
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

// retryWhileBusy retries while the markers of the id's last transaction are still being written, or its coordinator is
// starting. Both take milliseconds.
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

// refusal returns the first error of a response. It is ErrNotOwner when the group does not know this member in this
// generation.
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
