// Package reconcile compares the outbox with the topics that it is relayed to, when they may no longer fit together: a standby that
// lagged has become the primary, or the database was restored to an earlier time. It changes nothing.
//
// Only the records since that time matter. Every row that the database has lost was committed after all rows that it still has, and
// was relayed later than they. So reconcile reads the log from the time of a row that is in both, and no further back: after a
// failover that is about a minute.
package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/postgres"
)

const (
	clockSkew   = time.Minute // by how much the clocks of Postgres and the relay may differ
	rowsAtFirst = 1000        // of the outbox, one of which must be in the log too; ten times as many when none is
	pageRows    = 10_000
)

// Topics are the topics that are compared: those of records that the connector itself puts into the outbox.
var Topics = []string{event.TopicSalesOrder, event.TopicRequested, event.TopicCallback}

// Params say what is compared.
type Params struct {
	Kafka    kafka.Config
	On       postgres.Querier
	Position checkpoint.Position // the relay's: which rows were in Kafka
	Since    time.Time           // read the log from this time at the latest; zero: as far back as needed
}

// Row is a row of the outbox.
type Row struct {
	ID         int64
	Topic, Key string
}

// Record is the place of a record.
type Record struct {
	Topic     string // without the prefix
	Partition int32
	Offset    int64
}

// Comparison is the result.
type Comparison struct {
	Since    time.Time // of the log; zero: from its start
	Records  int       // that were read
	Lost     []Record  // records without a row in the outbox, in the order in which they were relayed
	Repeated []Row     // rows whose event Kafka has already: the row was lost, and the event came a second time
	Reused   []Row     // rows up to the position that Kafka does not have: written with an id that was used before
}

// Differs reports whether there is any difference.
func (c *Comparison) Differs() bool { return len(c.Lost)+len(c.Repeated)+len(c.Reused) > 0 }

// Compare compares. The relay must not run meanwhile, as it moves its position; ingest may.
func Compare(ctx context.Context, p Params) (*Comparison, error) {
	for limit := rowsAtFirst; ; limit *= 10 {
		since, err := p.since(ctx, limit)
		if err != nil {
			return nil, err
		}
		c := &comparison{p: p, Comparison: Comparison{Since: since}}
		if err := c.run(ctx); err != nil {
			return nil, err
		}
		if c.overlap || since.IsZero() {
			return &c.Comparison, nil
		}
	}
}

// since is a time just before the newest rows up to the position, as many as limit, were written; zero when there are fewer.
func (p Params) since(ctx context.Context, limit int) (time.Time, error) {
	var oldest *time.Time
	var rows int
	err := p.On.QueryRow(ctx, `SELECT min(created_at), count(*) FROM (SELECT created_at FROM erp_outbox WHERE id <= $1 ORDER BY id DESC LIMIT $2) AS newest`,
		p.Position.LastID, limit).Scan(&oldest, &rows)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the outbox before id %d: %w", p.Position.LastID, err)
	}
	if rows < limit {
		return time.Time{}, nil
	}
	since := oldest.Add(-clockSkew)
	if !p.Since.IsZero() && p.Since.Before(since) {
		since = p.Since
	}
	return since, nil
}
