package postgres

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ParseConfig makes the configuration of a pool from a URL. The pool's connections have what the connector needs, and
// connect only to a server that takes writes.
func ParseConfig(url string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	configure(c)
	return c, RequireWritable(c.ConnConfig)
}

// configure sets what every connection of the connector needs.
//
// The connector reads its tables by key. They may grow from nothing to millions of rows before the statistics are
// collected again. A prepared statement keeps its plan, and a plan from when a table was small may scan all of it:
// locking 100 gates among 20,000 took 20 ms that way. So scans and hash joins of whole tables are made the last choice.
func configure(c *pgxpool.Config) {
	params := c.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "erpconnector"
	}
	// A process that hangs inside a transaction must not hold up the relay at a gap for ever.
	params["idle_in_transaction_session_timeout"] = "30s"
	// A plan for the values at hand is made anew for each call of some statements, as lists of different lengths look like a gain. At 50
	// orders a second that was half of the time that Postgres took for statements.
	params["plan_cache_mode"] = "force_generic_plan"
	params["enable_seqscan"], params["enable_hashjoin"], params["enable_mergejoin"] = "off", "off", "off"
	// Postgres estimates a last choice at 10,000,000,000, and compiles expensive plans first. So a scan of an empty
	// table, or reading a sequence, took 30 to 900 ms.
	params["jit"] = "off"
	c.AfterConnect = registerArrays
	if c.ConnConfig.ConnectTimeout == 0 { // the URL names none
		c.ConnConfig.ConnectTimeout = 5 * time.Second
	}
}

// errReadOnlyWanted refuses a URL that asks for a standby.
var errReadOnlyWanted = errors.New("DATABASE_URL asks for a standby (target_session_attrs), but the connector writes, and must read " +
	"from the primary; leave target_session_attrs out, and name all servers: the one that takes writes is found")

// RequireWritable lets the configuration connect only to servers that take writes. With several hosts it takes the
// first such one. A standby would do harm: its advisory locks are its own, so a second leader could work at the same
// time as the primary's. And it shows neither the open writers nor the latest rows.
//
// A session cannot turn into one on a standby: a server enters recovery only by a restart.
func RequireWritable(c *pgx.ConnConfig) error {
	switch wanted := c.ValidateConnect; {
	case wanted == nil: // target_session_attrs is not given, or is "any"
	case sameFunction(wanted, pgconn.ValidateConnectTargetSessionAttrsReadWrite):
	case sameFunction(wanted, pgconn.ValidateConnectTargetSessionAttrsPrimary):
	default:
		return errReadOnlyWanted
	}
	c.ValidateConnect = isWritable
	return nil
}

// isWritable refuses a server that takes no writes. One query asks for both reasons: a primary may be read-only by its
// configuration.
func isWritable(ctx context.Context, conn *pgconn.PgConn) error {
	answers, err := conn.Exec(ctx, `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')`).ReadAll()
	if err != nil {
		return err
	}
	switch row := answers[0].Rows[0]; {
	case string(row[0]) == "t":
		return ErrStandby
	case string(row[1]) == "on":
		return errReadOnly
	}
	return nil
}

// sameFunction compares functions by their address: pgx does not show in another way what a URL asks for.
func sameFunction(a, b pgconn.ValidateConnectFunc) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// ErrStandby means that a server is in recovery: it replays what another one writes, and takes no writes itself.
var ErrStandby = errors.New("this Postgres server is a standby")

var errReadOnly = errors.New("this Postgres server takes no writes: is default_transaction_read_only on?")
