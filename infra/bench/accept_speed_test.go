//go:build speed

package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	acceptEvents = 20_000
	acceptBatch  = 100
)

// accept measures events into the tables, over HTTP and from the commerce outbox, beside COPY of the rows that they write.
func accept(t *testing.T, r *rig) []Figure {
	t.Helper()
	var figures []Figure
	for _, clients := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d clients", clients), func(t *testing.T) {
			pool, events := r.ingest(t)
			published, err := Load{URL: events(), Token: token, Events: acceptEvents, Clients: clients, Batch: acceptBatch}.Run(t.Context())
			require.NoError(t, err)
			figures = append(figures, Figure{
				Case: fmt.Sprintf("accept over HTTP, batches of 100, %d connections", clients), What: "events/s", Beside: "COPY",
				Ours: acceptEvents / published.Took.Seconds(), Base: copyAgain(t, pool, clients),
			})
		})
	}
	t.Run("drain", func(t *testing.T) {
		pool, events := r.ingest(t)
		batch := make([]string, acceptBatch)
		for from := 0; from < acceptEvents; from += acceptBatch {
			for i := range batch {
				batch[i] = Invoice(fmt.Sprint(900_000_000 + from + i))
			}
			_, err := pool.Exec(t.Context(), `SELECT erp_publish(e::jsonb) FROM unnest($1::text[]) e`, batch)
			require.NoError(t, err)
		}
		_ = events()
		figures = append(figures, Figure{
			Case: "accept from the commerce outbox", What: "events/s", Beside: "COPY", Ours: drainRate(t, pool), Base: copyAgain(t, pool, 1),
		})
	})
	return figures
}

// ingest prepares a database; begin starts the service alone, and gives the URL for events.
func (r *rig) ingest(t *testing.T) (pool *pgxpool.Pool, begin func() (events string)) {
	t.Helper()
	url, pool := r.database(t)
	addr := testkit.FreeAddr(t)
	env := append(product(url, testkit.EmbeddedBroker(t)), "HTTP_ADDR="+addr)
	r.prepare(t, env, "topics", "ensure")
	return pool, func() string {
		start(t, env, r.binary, "run", "ingest")
		answers(t, "http://"+addr+"/readyz")
		return "http://" + addr + "/rest/V1/erpconnector/events"
	}
}

// drainRate is how many events a second the ingest takes from the commerce outbox, from the first to the last that are seen. Each
// event gets two ids.
func drainRate(t *testing.T, pool *pgxpool.Pool) float64 {
	t.Helper()
	accepted := func() (n int) {
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT CASE WHEN is_called THEN last_value / 2 ELSE 0 END FROM erp_outbox_id_seq`).Scan(&n))
		return n
	}
	first, began := 0, time.Time{}
	testkit.Eventually(t, func() bool {
		n := accepted()
		if first == 0 && n > 0 {
			first, began = n, time.Now()
		}
		return n >= acceptEvents
	}, "all events are taken")
	var left int
	testkit.Eventually(t, func() bool {
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM commerce_outbox`).Scan(&left))
		return left == 0
	}, "the commerce outbox is empty")
	return float64(acceptEvents-first) / time.Since(began).Seconds()
}

// written is how many rows of each table an accepted event writes.
var written = map[string]int{"accepted_event": 1, "sales_order": 1, "erp_sync_gate": 1, "erp_outbox": 2}

// copyAgain writes the rows that stand in the tables again, into the emptied tables, and gives the events a second.
func copyAgain(t *testing.T, pool *pgxpool.Pool, clients int) float64 {
	t.Helper()
	columns, content := map[string][]string{}, map[string][][]any{}
	for table := range written {
		rows, err := pool.Query(t.Context(), `SELECT * FROM `+table)
		require.NoError(t, err)
		for _, f := range rows.FieldDescriptions() {
			columns[table] = append(columns[table], f.Name)
		}
		for rows.Next() {
			values, err := rows.Values()
			require.NoError(t, err)
			content[table] = append(content[table], values)
		}
		require.NoError(t, rows.Err())
		require.Len(t, content[table], written[table]*acceptEvents, table)
	}
	_, err := pool.Exec(t.Context(), `TRUNCATE accepted_event, sales_order, erp_sync_gate, erp_outbox; CHECKPOINT`)
	require.NoError(t, err)
	began := time.Now()
	var copying sync.WaitGroup
	for c := range clients {
		copying.Go(func() {
			for batch := c; batch < acceptEvents/acceptBatch; batch += clients {
				if err := copyBatch(t.Context(), pool, columns, content, batch); err != nil {
					t.Error(err)
				}
			}
		})
	}
	copying.Wait()
	return acceptEvents / time.Since(began).Seconds()
}

func copyBatch(ctx context.Context, pool *pgxpool.Pool, columns map[string][]string, content map[string][][]any, batch int) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		for table, perEvent := range written {
			n := acceptBatch * perEvent
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns[table], pgx.CopyFromRows(content[table][batch*n:(batch+1)*n])); err != nil {
				return err
			}
		}
		return nil
	})
}
