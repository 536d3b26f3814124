// Package reconcile compares the outbox with the topics that it is relayed to, when they may not be of one history any
// more: a standby that lagged has taken the place of its primary, or the database was restored to an earlier time. It
// changes nothing.
//
// What counts is what Kafka has been given since the histories parted. Every row that the database has lost was committed
// after everything that it still has, and was relayed later than that. So the log is read from a time at which a row was
// written that is in both, and no further back: after a failover that is a minute or so.
package reconcile

import (
	"context"
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

const (
	clockSkew   = time.Minute // by how much the clocks of Postgres and the relay may differ
	rowsAtFirst = 1000        // of the outbox, among which one must be in both; ten times as many when none is
	pageRows    = 10_000
)

// Topics are those that are compared: whatever the connector itself puts into the outbox.
var Topics = []string{event.TopicSalesOrder, event.TopicRequested, event.TopicCallback}

// Params say what is compared.
type Params struct {
	Kafka    kafka.Config
	On       outbox.Querier
	Position checkpoint.Position // the relay's: which rows were in Kafka
	Since    time.Time           // begin in the log at this time at the latest; zero: wherever it must
}

// Row is a row of the outbox.
type Row struct {
	ID         int64
	Topic, Key string
}

// Record is where a record stands.
type Record struct {
	Topic     string // without the prefix
	Partition int32
	Offset    int64
}

// Comparison is what a comparison came to.
type Comparison struct {
	Since    time.Time // of the log; zero: from its start
	Records  int       // that were read
	Lost     []Record  // of which the outbox has no row, in the order in which they were relayed
	Repeated []Row     // rows of what Kafka has already: it was lost here, and came a second time
	Reused   []Row     // rows at or before the position that Kafka lacks: written under an id that was given before
}

// Differs reports whether anything is at odds.
func (c *Comparison) Differs() bool { return len(c.Lost)+len(c.Repeated)+len(c.Reused) > 0 }

// Compare compares. The relay must not work meanwhile, as it moves on; whoever accepts may.
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
		if c.parted || since.IsZero() {
			return &c.Comparison, nil
		}
	}
}

// since is a moment before the newest rows that may be in both were written, so many of them; zero when there are fewer.
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
