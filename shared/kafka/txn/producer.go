package txn

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/failpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Times of a transaction.
const (
	// transactionTimeout is when the broker aborts an open transaction. It is well above the slowest commit. It is the
	// fallback when a process dies and no other one takes over its transactional id.
	transactionTimeout = 10 * time.Second
	produceTimeout     = 5 * time.Second        // for the records of a transaction
	abortTimeout       = time.Second            // for aborting a failed transaction
	diagnoseInterval   = 500 * time.Millisecond // how often to find out why records are not written yet

	// linger holds records until write has given all of them to the client, and flushes. So they go in one request to each broker.
	linger = time.Second
)

// Batch is the content of one transaction.
type Batch struct {
	Records []*kgo.Record
	Offsets *Offsets // nil: none
}

// Producer writes transactions under one transactional id and those made from it. After a failure it closes its client;
// the next use makes a new one, which fences the old one. It does so after any error of a transaction, as a time-out
// and a fencing have the same code. It is safe for concurrent use; calls take turns.
type Producer struct {
	cfg    kafka.Config
	baseID string

	mu         sync.Mutex
	identity   identity
	client     *kgo.Client
	health     *kafka.Health
	declare    bool  // the group must be added to the transaction before its offsets
	batchBytes int32 // maximum of one partition's batch; 0: the configured one
}

// NewProducer prepares a producer; it connects at the first use. The id carries no prefix. Only one process may use it
// at a time, as a second user fences the first.
func NewProducer(cfg kafka.Config, transactionalID string) *Producer {
	return &Producer{cfg: cfg, baseID: transactionalID, identity: identity{base: cfg.Prefix + transactionalID}}
}

// Open connects and fences. When it returns nil, every transaction of former users of the id is decided.
func (p *Producer) Open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open(ctx)
}

// IsStuck reports whether Open could not fence one of the ids, because its last transaction is decided but has not
// ended in each of its partitions. A former user that is still alive can write under that id until the transaction has
// ended.
func (p *Producer) IsStuck() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.identity.stuck
}

func (p *Producer) open(ctx context.Context) error {
	if p.client != nil {
		return nil
	}
	client, err := p.identity.open(ctx, p.options)
	if err != nil {
		return err
	}
	declare, err := mustDeclareOffsets(ctx, client)
	if err != nil {
		client.Close()
		return err
	}
	p.client, p.declare, p.health = client, declare, kafka.NewHealth(client)
	return nil
}

func (p *Producer) options(id string) []kgo.Opt {
	options := append(p.cfg.Options(),
		kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout),
		kgo.ProducerLinger(linger),
		kgo.DisableClientMetrics(), // their last push would hold up Close for a second when no broker answers
	)
	if p.batchBytes > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(p.batchBytes))
	}
	return options
}

// Commit writes all records and offsets in one transaction, or nothing. When ctx ends it returns, at most abortTimeout
// later. It does not change the records, so they can be committed again.
func (p *Producer) Commit(ctx context.Context, b Batch) error {
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
		p.noteFailure(ctx, b, err)
		p.discard()
	}
	return err
}

func (p *Producer) commit(ctx context.Context, b Batch) error {
	id := p.identity.current()
	if err := p.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction of %s: %w", id, err)
	}
	written, err := p.write(ctx, b)
	if err == nil {
		err = p.awaitKnown(ctx, written)
	}
	if err != nil {
		p.abort()
		return fmt.Errorf("transaction of %s: %w", id, err)
	}
	failpoint.Hit(p.baseID + ".produced")
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing a transaction of %s: %w: %w", id, ErrCommitUnknown, err)
	}
	return nil
}

// write produces the records and, at the same time, the offsets. After any failure the transaction must be aborted: the
// client would commit the rest of it.
func (p *Producer) write(ctx context.Context, b Batch) (map[kafka.TopicPartition]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	w := newWriting(len(b.Records))
	own := make([]kgo.Record, len(b.Records)) // the client writes to a record, and may still hold it when Commit returns
	for index, r := range b.Records {
		own[index] = *r
		own[index].Context = ctx
		p.client.Produce(ctx, &own[index], func(r *kgo.Record, err error) { w.note(index, r, err) })
	}
	offsets := make(chan error, 1)
	var beside sync.WaitGroup
	client, id := p.client, p.identity.current()
	beside.Go(func() { _ = client.Flush(ctx) }) // its error is the records'
	beside.Go(func() { offsets <- b.Offsets.write(ctx, client, id, p.declare) })
	defer func() {
		cancel()
		beside.Wait()
	}()
	return p.await(ctx, b, w, offsets)
}

// await waits for the records and the offsets. When some records are missing for a while, it asks the brokers why. The error names the
// partitions that take no records, so that others need not wait for them.
func (p *Producer) await(ctx context.Context, b Batch, w *writing, offsets <-chan error) (map[kafka.TopicPartition]bool, error) {
	tick := time.NewTicker(diagnoseInterval)
	defer tick.Stop()
	for records := w.ended; records != nil || offsets != nil; {
		select {
		case err := <-offsets:
			if err != nil {
				return nil, err
			}
			offsets = nil
		case <-records:
			if err := w.failure(); err != nil {
				return nil, err
			}
			records = nil
		case <-tick.C:
			if err := p.diagnose(ctx, b, w.waiting()); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, w.unfinished(ctx.Err())
		}
	}
	return w.written, nil
}

// awaitKnown waits until the client knows the partitions it has written to. When a topic is new to the client, it sends
// the records first and stores the topic's partitions afterwards. The broker's answer can come in between. A
// transaction that ends then looks empty to the client: it aborts it, and EndTransaction returns no error (franz-go
// v1.22.3, storePartitionsUpdate and EndTransaction).
func (p *Producer) awaitKnown(ctx context.Context, written map[kafka.TopicPartition]bool) error {
	for to := range written {
		for {
			if leader, _, _ := p.client.PartitionLeader(to.Topic, to.Partition); leader >= 0 {
				break
			}
			if !run.Sleep(ctx, time.Millisecond) {
				return fmt.Errorf("waiting until the client knows %s partition %d: %w", to.Topic, to.Partition, ctx.Err())
			}
		}
	}
	return nil
}

// noteFailure keeps what the failure says for the next client: to use the next id, or smaller batches.
func (p *Producer) noteFailure(ctx context.Context, b Batch, failed error) {
	switch {
	case errors.Is(failed, errStuck):
		p.identity.next()
	case errors.Is(failed, kerr.MessageTooLarge), errors.Is(failed, kerr.RecordListTooLarge):
		if limit := smallestLimit(ctx, p.client, b.Records); limit > 0 {
			p.batchBytes = limit
		}
	}
}

// abort tries to end the transaction, so that readers need not wait for its time-out. A failure does no harm: the next
// client fences the transaction.
func (p *Producer) abort() {
	ctx, cancel := context.WithTimeout(context.Background(), abortTimeout)
	defer cancel()
	_ = p.client.AbortBufferedRecords(ctx)
	_ = p.client.EndTransaction(ctx, kgo.TryAbort)
}

func (p *Producer) discard() {
	p.client.Close()
	p.client = nil
}

// Close closes the client. Commit has ended its transaction already.
func (p *Producer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.discard()
	}
}
