//go:build speed

package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	speedEvents = 20_000
	speedBatch  = 100
)

// TestSpeed prints figures and claims none; it is built with the tag speed only. Each door publishes in transactions of
// 100 events of 0.6 kB; the baseline is COPY of the same rows into the same table. Then what waits is accepted, and the
// baseline is COPY of the rows that accepting writes into the tables it writes to, again in transactions of 100 events.
func TestSpeed(t *testing.T) {
	for _, clients := range []int{1, 4} {
		s := newUndrainedShop(t)
		base := s.copyOutbox(clients)
		t.Logf("%d clients, COPY into commerce_outbox: %.0f events/s", clients, base)
		for _, door := range []string{"go_pgx", "go_database_sql", "watermill", "sql_function"} {
			rate := s.publishRate(clients, doors[door])
			t.Logf("%d clients, %s: %.0f events/s, %.2f of COPY", clients, door, rate, rate/base)
		}
		rate := s.publishRate(clients, func(s *shop, events []string) error {
			_, err := s.pool.Exec(s.t.Context(), `SELECT erp_publish(e::jsonb) FROM unnest($1::text[]) e`, events)
			return err
		})
		t.Logf("%d clients, erp_publish in one statement: %.0f events/s, %.2f of COPY", clients, rate, rate/base)
	}
	acceptSpeed(t)
}

// inBatches calls work for each batch of events, from several clients at once, and gives the events per second.
func inBatches(t *testing.T, clients int, work func(batch int) error) float64 {
	t.Helper()
	began := time.Now()
	var running sync.WaitGroup
	for c := range clients {
		running.Go(func() {
			for b := c; b < speedEvents/speedBatch; b += clients {
				if err := work(b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	return speedEvents / time.Since(began).Seconds()
}

func speedEventsOf(batch int, kind string) []string {
	events := make([]string, speedBatch)
	for i := range events {
		id := fmt.Sprintf("%s-%d-%d", kind, batch, i)
		events[i] = invoice(id, id)
	}
	return events
}

func (s *shop) publishRate(clients int, door func(*shop, []string) error) float64 {
	rate := inBatches(s.t, clients, func(b int) error { return door(s, speedEventsOf(b, "e")) })
	s.truncate("commerce_outbox")
	return rate
}

func (s *shop) truncate(tables string) {
	_, err := s.pool.Exec(s.t.Context(), `TRUNCATE `+tables+`; CHECKPOINT`)
	require.NoError(s.t, err)
}

func (s *shop) copyOutbox(clients int) float64 {
	rate := inBatches(s.t, clients, func(b int) error {
		var rows [][]any
		for _, e := range speedEventsOf(b, "e") {
			rows = append(rows, []any{"default", []byte(e)})
		}
		_, err := s.pool.CopyFrom(s.t.Context(), pgx.Identifier{"commerce_outbox"}, []string{"source", "payload"}, pgx.CopyFromRows(rows))
		return err
	})
	s.truncate("commerce_outbox")
	return rate
}

var acceptTables = map[string]int{"accepted_event": 1, "sales_order": 1, "erp_sync_gate": 1, "erp_outbox": 2} // rows of an event

func acceptSpeed(t *testing.T) {
	t.Helper()
	s := newUndrainedShop(t)
	_ = inBatches(t, 4, func(b int) error { return doors["go_pgx"](s, speedEventsOf(b, "e")) })
	began := time.Now()
	s.drain()
	s.becomes(fmt.Sprint(2*speedEvents), `SELECT last_value::text FROM erp_outbox_id_seq`) // counting rows would take the drainer's time
	s.becomes(fmt.Sprint(speedEvents), `SELECT count(*)::text FROM accepted_event`)
	drained := speedEvents / time.Since(began).Seconds()
	copied := s.copyAccepted(1)
	t.Logf("drained: %.0f events/s; COPY of what that wrote: %.0f events/s; ratio %.2f", drained, copied, drained/copied)
	for _, clients := range []int{1, 4} {
		s := newUndrainedShop(t)
		accepter := accept.New(s.pool, setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler))
		rate := inBatches(t, clients, func(b int) error {
			var in []accept.Incoming
			for _, e := range speedEventsOf(b, "e") {
				in = append(in, accept.Incoming{Body: []byte(e)})
			}
			_, err := accepter.Accept(t.Context(), in)
			return err
		})
		copied := s.copyAccepted(clients)
		t.Logf("%d clients, accepted in batches of 100: %.0f events/s; COPY: %.0f events/s; ratio %.2f", clients, rate, copied, rate/copied)
	}
}

// copyAccepted writes the rows that stand in the tables again, into the emptied tables.
func (s *shop) copyAccepted(clients int) float64 {
	s.t.Helper()
	ctx := context.Background()
	columns, content := map[string][]string{}, map[string][][]any{}
	for table := range acceptTables {
		rows, err := s.pool.Query(ctx, `SELECT * FROM `+table)
		require.NoError(s.t, err)
		for _, f := range rows.FieldDescriptions() {
			columns[table] = append(columns[table], f.Name)
		}
		for rows.Next() {
			values, err := rows.Values()
			require.NoError(s.t, err)
			content[table] = append(content[table], values)
		}
		require.NoError(s.t, rows.Err())
	}
	s.truncate("accepted_event, sales_order, erp_sync_gate, erp_outbox")
	return inBatches(s.t, clients, func(b int) error {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			for table, perEvent := range acceptTables {
				n := speedBatch * perEvent
				if _, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns[table], pgx.CopyFromRows(content[table][b*n:(b+1)*n])); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
