package workload

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/commerce"
	"github.com/erpconnector/erpconnector/shared/run"
)

// transaction is one of the shop's database. The event is published in it, as the shop's own rows are.
type transaction interface {
	publish(ctx context.Context, body []byte) error
	commit(ctx context.Context) error
	rollback(ctx context.Context) error
}

// errCommitUnknown is a commit whose answer was lost: it may have happened or not.
var errCommitUnknown = errors.New("the confirmation of the commit was lost")

// errRolledBack is a transaction that the shop rolled back on purpose.
var errRolledBack = errors.New("rolled back on purpose")

const transactionTimeout = 10 * time.Second

// publishInTx tries transactions until one is confirmed. The outcome is unknown when the answer to any commit was lost, and
// no later one was confirmed.
func (s *Shops) publishInTx(runCtx context.Context, door string, e nemesis.Event, body []byte) history.Outcome {
	lost := false
	for runCtx.Err() == nil {
		err := s.tryTx(runCtx, door, e, body)
		switch {
		case err == nil:
			return history.Accepted
		case errors.Is(err, errRolledBack):
			return history.Refused
		case errors.Is(err, errCommitUnknown):
			lost = true
			if e.GiveUp {
				return history.Unknown
			}
		}
		run.Sleep(runCtx, retryInterval)
	}
	if lost {
		return history.Unknown
	}
	return history.Refused // no transaction came to its commit
}

// tryTx publishes in one transaction. Its error says whether the commit may have happened: only errCommitUnknown does.
func (s *Shops) tryTx(runCtx context.Context, door string, e nemesis.Event, body []byte) error {
	ctx, cancel := context.WithTimeout(runCtx, transactionTimeout)
	defer cancel()
	tx, err := s.begin(ctx, door)
	if err != nil {
		return err
	}
	if err := tx.publish(ctx, body); err != nil {
		return errors.Join(err, tx.rollback(ctx))
	}
	run.Sleep(ctx, e.Hold)
	if e.RollBack {
		_ = tx.rollback(ctx) // a broken connection rolls back too
		return errRolledBack
	}
	if err := tx.commit(ctx); err != nil {
		return fmt.Errorf("%w: %w", errCommitUnknown, err)
	}
	return nil
}

// begin starts a transaction with the library that the door stands for.
func (s *Shops) begin(ctx context.Context, door string) (transaction, error) {
	switch door {
	case nemesis.SQL, nemesis.PGX:
		tx, err := s.pool.Begin(ctx)
		return pgxTransaction{tx: tx, byFunction: door == nemesis.SQL}, err
	case nemesis.StdSQL, nemesis.Watermill:
		return s.beginStd(ctx, door)
	default:
		panic("unknown door " + door)
	}
}

// pgxTransaction publishes by the SQL function erp_publish, or by the Go library.
type pgxTransaction struct {
	tx         pgx.Tx
	byFunction bool
}

func (t pgxTransaction) publish(ctx context.Context, body []byte) error {
	if t.byFunction {
		_, err := t.tx.Exec(ctx, `SELECT erp_publish($1::text::jsonb)`, string(body))
		return err
	}
	return commerce.Outbox{}.Publish(ctx, t.tx, commerce.Event{JSON: body})
}

func (t pgxTransaction) commit(ctx context.Context) error   { return t.tx.Commit(ctx) }
func (t pgxTransaction) rollback(ctx context.Context) error { return t.tx.Rollback(ctx) }

// publishByWatermill publishes with the publisher of watermill-sql.
func publishByWatermill(tx wsql.ContextExecutor, body []byte) error {
	publisher, err := wsql.NewPublisher(tx, wsql.PublisherConfig{SchemaAdapter: commerce.Outbox{}.WatermillSchema()}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	return publisher.Publish(commerce.Topic, message.NewMessage(watermill.NewUUID(), body))
}
