package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/crash"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

const (
	openTimeout        = 10 * time.Second
	commitTimeout      = 15 * time.Second // a transaction that takes longer has timed out on the broker
	transactionTimeout = 10 * time.Second
	abortTimeout       = time.Second
)

// producer writes one transaction after another under the relay's fixed transactional id. After an error it is of no
// more use: close it and open another, which fences whatever was left.
type producer struct{ client *kgo.Client }

// openProducer returns when the producers before it are fenced and their transactions decided.
func openProducer(ctx context.Context, p Params) (*producer, error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(p.Brokers...), kgo.ClientID(p.ClientID),
		kgo.TransactionalID(p.Prefix+"erpconnector-relay"), kgo.TransactionTimeout(transactionTimeout),
		kgo.ProducerLinger(0), kgo.ProducerBatchMaxBytes(event.MaxRecordBytes), kgo.MetadataMinAge(100*time.Millisecond),
	)
	if err != nil {
		return nil, fmt.Errorf("making the relay's producer: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.CloseAllowingRebalance()
		return nil, fmt.Errorf("opening the relay's transactional producer: %w", err)
	}
	return &producer{client: client}, nil
}

// commit writes the records with one transaction, all or none. After an error the outcome is unknown.
func (p *producer) commit(ctx context.Context, records []*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := p.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning the transaction: %w", err)
	}
	if err := p.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		p.abort(ctx)
		return fmt.Errorf("producing %d records: %w", len(records), err)
	}
	crash.Point("relay.produced")
	if err := p.client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("committing %d records: %w", len(records), err)
	}
	return nil
}

// abort lets readers go on at once; when it fails, the next producer's fencing does.
func (p *producer) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := p.client.AbortBufferedRecords(ctx); err == nil {
		_ = p.client.EndTransaction(ctx, kgo.TryAbort)
	}
}

func (p *producer) close() { p.client.Close() }

// record is the row as a CloudEvent in Kafka's binary mode, with Watermill's uuid header.
func (s *session) record(row outbox.Row) *kgo.Record {
	rec := outbox.FromMessage(row.Topic, row.Message)
	headers := make([]kgo.RecordHeader, 0, len(rec.Headers)+1)
	headers = append(headers, kgo.RecordHeader{Key: event.HeaderUUID, Value: []byte(rec.UUID)})
	for name, value := range rec.Headers {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
	return &kgo.Record{Topic: s.p.Prefix + rec.Topic, Key: []byte(rec.Key), Value: rec.Value, Headers: headers}
}
