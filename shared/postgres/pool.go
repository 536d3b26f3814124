package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Configure sets what every connection of the connector needs.
//
// Its tables are read by key, and they grow from nothing to millions of rows between two looks of the statistics
// collector. A plan that was made while a table was small, and is kept by a prepared statement, may scan all of it: locking
// 100 gates among 20,000 took 20 ms that way. So scans and hash joins of whole tables are
// made the last choice.
func Configure(c *pgxpool.Config) {
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
