//go:build speed

package ingest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

const (
	speedEvents = 20_000
	speedBatch  = 100
)

// TestSpeed prints figures and claims none; it is built with the tag speed only. Each door publishes in transactions of
// 100 events of 0.6 kB; the baseline is COPY of the same rows into the same table. infra/bench measures
// how what waits is accepted.
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
