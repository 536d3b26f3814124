// Package collect reads what a run left in Kafka and Postgres into a history. It shares no code with the product: a fault in
// the product's reader must not be here as well, or nobody would see the record that both leave out.
package collect

import (
	"context"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// Collect replaces Records, Starts, Outbox, Table and Gates of the history. It reads every topic with the prefix from its
// start to its committed end, and the tables in one snapshot. The product must be quiet: what it writes meanwhile may be in
// Kafka and not in Postgres. An open transaction in Kafka hides what is behind it.
func Collect(ctx context.Context, brokers []string, prefix, databaseURL string, h *history.History) error {
	if err := readTopics(ctx, brokers, prefix, h); err != nil {
		return err
	}
	return readTables(ctx, databaseURL, h)
}
