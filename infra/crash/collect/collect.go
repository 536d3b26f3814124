// Package collect reads what a run left in Kafka and Postgres into a history. It shares no code with the product, so that a
// reader that misses records misses them in one of the two only.
package collect

import (
	"context"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// Collect fills in Records, Starts, Outbox, Table and Gates, in place of what the history held. It reads every topic with
// the prefix from its start to its committed end, and the tables at one snapshot. The product should be quiet: what it
// writes meanwhile may be in one and not in the other. ctx bounds it; an open transaction delays it until that ends.
func Collect(ctx context.Context, brokers []string, prefix, databaseURL string, h *history.History) error {
	if err := readTopics(ctx, brokers, prefix, h); err != nil {
		return err
	}
	return readTables(ctx, databaseURL, h)
}
