package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/pause"
)

// transactionTimeout is when the broker aborts an open transaction: well above the slowest commit, and the fallback
// when a slot's holder dies and nobody takes the slot over.
const transactionTimeout = 10 * time.Second

// The kinds of errors of Commit. Whatever the kind, the client is gone and the next Commit makes a new one.
var (
	// ErrCommitUnknown means that nobody knows whether the transaction was committed. Open fences the old client, which
	// decides it; what was committed then stands in the group's offsets or in the log.
	ErrCommitUnknown = errors.New("the transaction may or may not have been committed")
	// ErrNotOwner means that the group refused the offsets: this member has left or was removed, its partitions are
	// somebody else's. Nothing was committed; the work must be dropped.
	ErrNotOwner = errors.New("the consumer group refused the offsets")
	// ErrNoRecords refuses a batch of offsets alone: the client would not end such a transaction.
	ErrNoRecords = errors.New("a transaction needs at least one record; write one to the position topic")
)

// Batch is what one transaction commits.
type Batch struct {
	Records []*kgo.Record
	Offsets []GroupOffsets
}

// TxnProducer writes transactions under one transactional id. It is made for one goroutine at a time. A client that
// failed is closed, and a new one, fenced anew, takes its place at the next use: no error of a transaction is worth
// telling apart by its code, as time-out and fencing look alike.
type TxnProducer struct {
	cfg  Config
	name string
	id   string // the name with the prefix

	mu     sync.Mutex
	client *kgo.Client
}

// NewTxnProducer prepares a producer; it connects at the first use. The id carries no prefix. Whoever uses it must hold
// it exclusively (a slot), as a second user fences the first.
func NewTxnProducer(cfg Config, transactionalID string) *TxnProducer {
	return &TxnProducer{cfg: cfg, name: transactionalID, id: cfg.Prefix + transactionalID}
}

// Open connects and fences: when it returns nil, no transaction of a former holder of the id is open.
func (p *TxnProducer) Open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open(ctx)
}

func (p *TxnProducer) open(ctx context.Context) error {
	if p.client != nil {
		return nil
	}
	client, err := kgo.NewClient(append(p.cfg.Options(),
		kgo.TransactionalID(p.id), kgo.TransactionTimeout(transactionTimeout),
		kgo.DisableClientMetrics(), // their last push would hold up Close for a second when no broker answers
	)...)
	if err != nil {
		return fmt.Errorf("transactional id %s: %w", p.id, err)
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return fmt.Errorf("fencing transactional id %s: %w", p.id, err)
	}
	p.client = client
	return nil
}

// Commit writes all records and offsets in one transaction, or nothing. It returns when ctx ends, or up to abortWithin
// later, when a transaction is under way. The records are left as they are and may be given again.
func (p *TxnProducer) Commit(ctx context.Context, b Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b.Records) == 0 {
		return ErrNoRecords
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	err := p.commit(ctx, b)
	if err != nil {
		p.discard()
	}
	return err
}

func (p *TxnProducer) commit(ctx context.Context, b Batch) error {
	if err := p.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction of %s: %w", p.id, err)
	}
	written, err := p.write(ctx, b)
	if err == nil {
		err = p.awaitKnown(ctx, written)
	}
	if err != nil {
		p.abort()
		return fmt.Errorf("transaction of %s: %w", p.id, err)
	}
	crash.Point(p.name + ".produced")
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing a transaction of %s: %w: %w", p.id, ErrCommitUnknown, err)
	}
	return nil
}

type topicPartition struct {
	topic     string
	partition int32
}

type produced struct {
	to  topicPartition
	err error
}

// write produces the records and, while they are under way, the offsets. Any failure means that all must be aborted:
// the client would commit the rest.
func (p *TxnProducer) write(ctx context.Context, b Batch) (map[topicPartition]bool, error) {
	results := make(chan produced, len(b.Records))
	for _, r := range b.Records {
		own := *r // the client keeps its context and coordinates in the record, and may still hold it when Commit returns
		own.Context = ctx
		p.client.Produce(ctx, &own, func(r *kgo.Record, err error) {
			results <- produced{topicPartition{r.Topic, r.Partition}, err}
		})
	}
	written := map[topicPartition]bool{}
	var failed error
	for _, g := range b.Offsets {
		failed = errors.Join(failed, p.writeOffsets(ctx, g))
	}
	for range b.Records {
		select {
		case r := <-results:
			failed = errors.Join(failed, r.err)
			written[r.to] = true
		case <-ctx.Done():
			return nil, errors.Join(failed, ctx.Err())
		}
	}
	return written, failed
}

// awaitKnown waits until the client knows the partitions it has written to. Of a topic it writes to for the first time
// it stores the partitions only after it has let the records go, and the answer can be faster than that; a transaction
// ended in between looks empty to it, is aborted, and EndTransaction says that all is well (franz-go v1.22.3,
// storePartitionsUpdate and EndTransaction).
func (p *TxnProducer) awaitKnown(ctx context.Context, written map[topicPartition]bool) error {
	for to := range written {
		for {
			if leader, _, _ := p.client.PartitionLeader(to.topic, to.partition); leader >= 0 {
				break
			}
			if !pause.For(ctx, time.Millisecond) {
				return fmt.Errorf("waiting until the client knows %s partition %d: %w", to.topic, to.partition, ctx.Err())
			}
		}
	}
	return nil
}

const abortWithin = time.Second

// abort tries for a moment to end the transaction, so that readers need not wait for its time-out; the next client
// fences it in any case.
func (p *TxnProducer) abort() {
	ctx, cancel := context.WithTimeout(context.Background(), abortWithin)
	defer cancel()
	_ = p.client.AbortBufferedRecords(ctx)
	_ = p.client.EndTransaction(ctx, kgo.TryAbort)
}

func (p *TxnProducer) discard() {
	p.client.Close()
	p.client = nil
}

// Close gives up the client. An open transaction was ended by Commit.
func (p *TxnProducer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.discard()
	}
}

// writeOffsets adds consumed offsets to the transaction. The real member and generation are what fences a zombie: an
// empty member is accepted on a live group. Topics are named by name and by id, as brokers differ in which they read.
func (p *TxnProducer) writeOffsets(ctx context.Context, g GroupOffsets) error {
	if g.Member == "" {
		return fmt.Errorf("%w: %s has no member yet", ErrNotOwner, g.Group)
	}
	if len(g.topics) == 0 {
		return nil
	}
	id, epoch, err := p.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("reading the producer id: %w", err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = p.id, g.Group
	req.ProducerID, req.ProducerEpoch = id, epoch
	req.MemberID, req.Generation = g.Member, g.Generation
	for topic, partitions := range g.topics {
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic, t.TopicID = topic, g.topicIDs[topic]
		for partition, o := range partitions {
			rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch = partition, o.Offset, o.LeaderEpoch
			rp.Metadata = kmsg.StringPtr(o.Metadata)
			t.Partitions = append(t.Partitions, rp)
		}
		req.Topics = append(req.Topics, t)
	}
	wait := time.Millisecond
	for {
		resp, err := req.RequestWith(ctx, p.client)
		if err != nil {
			return fmt.Errorf("writing offsets of group %s: %w", g.Group, err)
		}
		err = offsetsError(g.Group, resp)
		// The markers of this id's last transaction are still being written: it passes in milliseconds.
		if !errors.Is(err, kerr.ConcurrentTransactions) && !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			return err
		}
		if !pause.For(ctx, wait) {
			return errors.Join(err, ctx.Err())
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

func offsetsError(group string, resp *kmsg.TxnOffsetCommitResponse) error {
	for _, t := range resp.Topics {
		for _, rp := range t.Partitions {
			err := kerr.ErrorForCode(rp.ErrorCode)
			if err == nil {
				continue
			}
			for _, refusal := range []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.StaleMemberEpoch, kerr.FencedInstanceID} {
				if errors.Is(err, refusal) {
					err = fmt.Errorf("%w: %w", ErrNotOwner, err)
				}
			}
			return fmt.Errorf("group %s, %s partition %d: %w", group, t.Topic, rp.Partition, err)
		}
	}
	return nil
}
