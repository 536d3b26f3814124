package accept

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// item is one checked event of a batch.
type item struct {
	checked

	key    string // of its order
	digest [sha256.Size]byte
	trace  string
	result *Result
}

// transaction is one try at a batch. After a rollback only the results are left, and the next try overwrites them.
type transaction struct {
	tx     pgx.Tx
	isLast bool // the transaction ends with it
	admit  domain.RequestPolicy
	now    time.Time
	batch  []*item

	gates     map[string]domain.Gate
	written   map[string]domain.Gate // the gates as they stand in the database
	snapshots map[string]*snapshot
	accepted  []accepted // in their order
}

// run is the steps 2 to 5. Every order is under its gate's lock from the first of them on.
func (t *transaction) run(ctx context.Context) error {
	seen, err := t.lock(ctx)
	if err != nil {
		return err
	}
	if err := t.decide(ctx, seen); err != nil {
		return err
	}
	return t.store(ctx)
}
