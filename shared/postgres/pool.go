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

// ParseConfig reads a URL for a pool of the connector: with what every connection of ours needs, on a server that takes writes.
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
// Its tables are read by key, and they grow from nothing to millions of rows between two looks of the statistics
// collector. A plan that was made while a table was small, and is kept by a prepared statement, may scan all of it: locking
// 100 gates among 20,000 took 20 ms that way. So scans and hash joins of whole tables are made the last choice. What has
// no other, a sequence above all, is then taken for so dear that Postgres would compile the query first, which takes
// hundreds of milliseconds: hence no JIT.
func configure(c *pgxpool.Config) {
	params := c.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "erpconnector"
	}
	// A process that hangs inside a transaction must not hold the relay at a hole for ever.
	params["idle_in_transaction_session_timeout"] = "30s"
	params["enable_seqscan"], params["enable_hashjoin"], params["enable_mergejoin"] = "off", "off", "off"
	// A last choice costs 10,000,000,000 on paper, and what is dear is compiled first: a scan of an empty table took 30 to 140 ms.
	params["jit"] = "off"
	c.ConnConfig.ConnectTimeout = 5 * time.Second
}

// errReadOnlyWanted says why a URL that asks for a standby is of no use.
var errReadOnlyWanted = errors.New("DATABASE_URL asks for a standby (target_session_attrs): the connector writes, and what it " +
	"judges must be the primary's word; leave target_session_attrs out, and name all servers: the one that takes writes is found")

// RequireWritable lets the configuration connect to servers that take writes, and to no other. With several hosts the
// first such one is taken. A standby would do harm: its advisory locks are its own, so that a second leader beside the
// primary's would work, and it neither shows who writes nor what was written last.
//
// A session cannot come to be one of a standby: a server enters recovery by a restart only.
func RequireWritable(c *pgx.ConnConfig) error {
	switch asked := c.ValidateConnect; {
	case asked == nil: // target_session_attrs is not given, or any
	case same(asked, pgconn.ValidateConnectTargetSessionAttrsReadWrite):
	case same(asked, pgconn.ValidateConnectTargetSessionAttrsPrimary):
	default:
		return errReadOnlyWanted
	}
	c.ValidateConnect = isWritable
	return nil
}

// isWritable asks once for both: a primary may be read-only by its configuration.
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

// same compares functions by where they stand: pgx tells in no other way what a URL has asked for.
func same(a, b pgconn.ValidateConnectFunc) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// ErrStandby means that a server is in recovery: it repeats what another one writes, and takes no writes itself.
var ErrStandby = errors.New("this Postgres server is a standby")

var errReadOnly = errors.New("this Postgres server takes no writes: is default_transaction_read_only on?")
