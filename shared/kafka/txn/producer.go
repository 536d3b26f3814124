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
	// transactionTimeout is when the broker aborts an open transaction: well above the slowest commit, and the fallback
	// when a slot's holder dies and nobody takes the slot over.
	transactionTimeout = 10 * time.Second
	produceTimeout     = 5 * time.Second        // for the records of a transaction
	abortTimeout       = time.Second            // for ending what failed
	diagnoseInterval   = 500 * time.Millisecond // between two looks for why records are not written yet
)

// Batch is what one transaction commits.
type Batch struct {
	Records []*kgo.Record
	Offsets *Offsets // nil: none
}

// Producer writes transactions under the ids of one slot. A client that failed is closed, and a new one, fenced anew, takes
// its place at the next use: no error of a transaction is worth telling apart by its code, as time-out and fencing look
// alike. Its methods may be called from several goroutines; they take turns.
type Producer struct {
	cfg  kafka.Config
	slot string

	mu         sync.Mutex
	identity   identity
	client     *kgo.Client
	health     *kafka.Health
	declare    bool  // the brokers must be told of the group before they take its offsets
	batchBytes int32 // of one partition; 0: what the configuration says
}

// NewProducer prepares a producer; it connects at the first use. The slot carries no prefix. Whoever uses it must hold it
// exclusively, as a second user fences the first.
func NewProducer(cfg kafka.Config, slot string) *Producer {
	return &Producer{cfg: cfg, slot: slot, identity: identity{slot: cfg.Prefix + slot}}
}

// Open connects and fences: when it returns nil, every transaction of former holders of the slot is decided.
func (p *Producer) Open(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open(ctx)
}

// IsStuck reports, once the producer was opened, that an id of the slot could not be fenced: its last transaction is decided, and
// has not ended in each of its partitions. A former holder that is still alive can use that id until it has.
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
		kgo.DisableClientMetrics(), // their last push would hold up Close for a second when no broker answers
	)
	if p.batchBytes > 0 {
		options = append(options, kgo.ProducerBatchMaxBytes(p.batchBytes))
	}
	return options
}

// Commit writes all records and offsets in one transaction, or nothing. It returns when ctx ends, or up to abortTimeout
// later, when a transaction is under way. The records are left as they are and may be given again.
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
		p.learn(ctx, b, err)
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
	failpoint.Hit(p.slot + ".produced")
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing a transaction of %s: %w: %w", id, ErrCommitUnknown, err)
	}
	return nil
}

// produced is the result of one record.
type produced struct {
	place int
	to    kafka.TopicPartition
	err   error
}

// write produces the records and, while they are under way, the offsets. Any failure means that all must be aborted:
// the client would commit the rest.
func (p *Producer) write(ctx context.Context, b Batch) (map[kafka.TopicPartition]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, produceTimeout)
	defer cancel()
	results := make(chan produced, len(b.Records))
	for place, r := range b.Records {
		own := *r // the client keeps its context and coordinates in the record, and may still hold it when Commit returns
		own.Context = ctx
		p.client.Produce(ctx, &own, func(r *kgo.Record, err error) {
			results <- produced{place, kafka.TopicPartition{Topic: r.Topic, Partition: r.Partition}, err}
		})
	}
	offsets := make(chan error, 1)
	var writing sync.WaitGroup
	client, id := p.client, p.identity.current()
	writing.Go(func() { offsets <- b.Offsets.write(ctx, client, id, p.declare) })
	defer func() {
		cancel()
		writing.Wait()
	}()
	return p.await(ctx, b, results, offsets)
}

// await collects the results. When they do not come for a while it asks the brokers why: a partition that takes no records is
// named, so that others need not wait for it.
func (p *Producer) await(ctx context.Context, b Batch, results <-chan produced, offsets <-chan error) (map[kafka.TopicPartition]bool, error) {
	written, waiting := map[kafka.TopicPartition]bool{}, map[int]bool{}
	for place := range b.Records {
		waiting[place] = true
	}
	look := time.NewTicker(diagnoseInterval)
	defer look.Stop()
	for len(waiting) > 0 || offsets != nil {
		select {
		case err := <-offsets:
			if err != nil {
				return nil, err
			}
			offsets = nil
		case r := <-results:
			switch {
			case r.err == nil:
				delete(waiting, r.place)
				written[r.to] = true
			case IsRefusal(r.err):
				return nil, &RefusedError{r.err}
			default:
				return nil, unfinished(waiting, written, r.err)
			}
		case <-look.C:
			if err := p.diagnose(ctx, b, waiting); err != nil {
				return nil, err
			}
		case <-ctx.Done():
			return nil, unfinished(waiting, written, ctx.Err())
		}
	}
	return written, nil
}

// unfinished blames the partitions that are missing when others have taken their records; else it may be anything.
func unfinished(waiting map[int]bool, written map[kafka.TopicPartition]bool, err error) error {
	if len(written) == 0 {
		return err
	}
	u := &UnavailableError{Err: err}
	for place := range waiting {
		u.Records = append(u.Records, place)
	}
	return u
}

// diagnose looks why records are not written: because their partitions take none, or because this id's last transaction has
// not ended everywhere. Nil means that it does not know.
func (p *Producer) diagnose(ctx context.Context, b Batch, waiting map[int]bool) error {
	if stuck, err := p.identity.look(ctx, p.client); err == nil && stuck {
		return errStuck
	}
	var topics []string
	seen := map[string]bool{}
	for place := range waiting {
		if topic := b.Records[place].Topic; !seen[topic] {
			seen[topic] = true
			topics = append(topics, topic)
		}
	}
	sick, err := p.health.Sick(ctx, topics)
	if err != nil {
		return nil //nolint:nilerr // whoever waits finds out by its deadline
	}
	u := &UnavailableError{}
	for place := range waiting {
		r := b.Records[place]
		to := kafka.TopicPartition{Topic: r.Topic, Partition: p.cfg.PartitionOf(r.Topic, r.Key, sick.Partitions[r.Topic])}
		if why, is := sick.Why[to]; is {
			u.Records = append(u.Records, place)
			u.Err = fmt.Errorf("%s partition %d: %s", to.Topic, to.Partition, why)
		}
	}
	if len(u.Records) == 0 {
		return nil
	}
	return u
}

// awaitKnown waits until the client knows the partitions it has written to. Of a topic it writes to for the first time
// it stores the partitions only after it has let the records go, and the answer can be faster than that; a transaction
// ended in between looks empty to it, is aborted, and EndTransaction says that all is well (franz-go v1.22.3,
// storePartitionsUpdate and EndTransaction).
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

// learn takes what the failure tells for the next client.
func (p *Producer) learn(ctx context.Context, b Batch, failed error) {
	switch {
	case errors.Is(failed, errStuck):
		p.identity.next()
	case errors.Is(failed, kerr.MessageTooLarge), errors.Is(failed, kerr.RecordListTooLarge):
		if limit := smallestLimit(ctx, p.client, b.Records); limit > 0 {
			p.batchBytes = limit
		}
	}
}

// abort tries for a moment to end the transaction, so that readers need not wait for its time-out; the next client
// fences it in any case.
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

// Close gives up the client. An open transaction was ended by Commit.
func (p *Producer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != nil {
		p.discard()
	}
}
