package relay

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

const (
	openTimeout   = 10 * time.Second
	commitTimeout = 15 * time.Second // a transaction that takes longer has timed out on the broker
)

// openProducer returns when the producers before it are fenced and their transactions decided.
func openProducer(ctx context.Context, p Params) (*kafka.TxnProducer, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	producer := kafka.NewTxnProducer(p.Kafka, checkpoint.TransactionalID)
	return producer, producer.Open(ctx)
}

// record is the row as it goes to Kafka.
func (s *session) record(row outbox.Row) *kgo.Record {
	return s.p.Kafka.Record(outbox.FromMessage(row.Topic, row.Message))
}
