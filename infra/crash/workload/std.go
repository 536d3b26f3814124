package workload

import (
	"context"
	"database/sql"

	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/commerce"
)

// beginStd starts a transaction of database/sql.
func (s *Shops) beginStd(ctx context.Context, door string) (transaction, error) {
	tx, err := s.std.BeginTx(ctx, nil)
	return stdTransaction{tx: tx, byWatermill: door == nemesis.Watermill}, err
}

// stdTransaction publishes by the publisher of Watermill, or by the Go library.
type stdTransaction struct {
	tx          *sql.Tx
	byWatermill bool
}

func (t stdTransaction) publish(ctx context.Context, body []byte) error {
	if t.byWatermill {
		return publishByWatermill(t.tx, body)
	}
	return commerce.Outbox{}.PublishSQL(ctx, t.tx, commerce.Event{JSON: body})
}

func (t stdTransaction) commit(context.Context) error   { return t.tx.Commit() }
func (t stdTransaction) rollback(context.Context) error { return t.tx.Rollback() }
