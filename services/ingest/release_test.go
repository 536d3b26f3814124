package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/setting"
)

const (
	inQuarantine = `SELECT coalesce(event_id, '') FROM commerce_quarantine ORDER BY id`
	inOutbox     = `SELECT convert_from(payload, 'UTF8') FROM commerce_outbox ORDER BY id`
	requests     = `SELECT key FROM erp_outbox WHERE topic = 'vendor_erp_sync_requested' ORDER BY id`
)

func updated(eventID, order string) string {
	return replaced(placed(eventID, order), "order.placed", "order.updated")
}

// Whatever door an order comes through, and whatever event brings it, the invoices that wait for it are taken.
func TestAnInvoiceOutOfTheQuarantineIsTakenWhenItsOrderComes(t *testing.T) {
	t.Parallel()
	for door := range doors {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			for name, brings := range map[string]func(eventID, order string) string{"placed": placed, "updated": updated, "invoiced": invoice} {
				s.empty()
				s.publish(invoiceOf("early", "1"), invoiceOf("early too", "1"), invoiceOf("other", "2"))
				s.becomes("3", `SELECT count(*)::text FROM commerce_quarantine`)
				require.NoError(t, doors[door](s, []string{brings("order", "1")}))
				s.accepted("early")
				s.accepted("early too")
				require.Equal(t, []string{"other"}, s.read(inQuarantine), "%s: the other order has not come", name)
				require.Equal(t, []string{"1"}, s.read(requests), "%s: requested once, however many invoices waited", name)
				require.Equal(t, []string{strings.Split(trace, "-")[1]}, s.read(`SELECT DISTINCT split_part(metadata::json ->> 'traceparent', '-', 2) FROM erp_outbox
					WHERE topic = 'sales_order_event' AND convert_from(payload, 'UTF8') LIKE '%early%'`), name)
			}
		})
	}
}

// wait puts an invoice into the quarantine, as the drainer does.
func (s *shop) wait(eventID, order string) {
	s.t.Helper()
	require.NoError(s.t, s.inTx(func(tx pgx.Tx) error { return s.drainIn(tx, invoiceOf(eventID, order)) }))
}

// drainIn accepts an event as the drainer does, in tx.
func (s *shop) drainIn(tx pgx.Tx, e string) error {
	results, err := s.accepter().AcceptIn(context.WithoutCancel(s.t.Context()), tx, []accept.Incoming{{Body: []byte(e), Traceparent: trace}})
	if err != nil || results[0].Result != accept.Refused {
		return err
	}
	entry := quarantine.Entry{Source: "default", Payload: []byte(e), Traceparent: trace, PublishedAt: time.Unix(1_700_000_000, 0)}.With(results[0])
	return quarantine.Add(context.WithoutCancel(s.t.Context()), tx, []quarantine.Entry{entry})
}

func (s *shop) accepter() *accept.Accepter {
	return accept.New(s.pool, setting.Fixed(setting.Defaults()), slog.New(slog.NewTextHandler(s.t.Output(), nil)))
}

// The invoice goes back with all that is known of it, in the transaction that brings the order.
func TestARelease(t *testing.T) {
	t.Parallel()
	s := newUndrainedShop(t)
	s.wait("early", "1")
	s.wait("early too", "1")
	s.wait("other", "2")
	require.NoError(t, s.post([]string{placed("order", "1")}))
	require.Equal(t, []string{"other"}, s.read(inQuarantine))
	require.Equal(t, []string{invoiceOf("early", "1"), invoiceOf("early too", "1")}, s.read(inOutbox))
	require.Equal(t, []string{"default " + trace + " 1700000000"}, s.read(
		`SELECT DISTINCT source || ' ' || traceparent || ' ' || extract(epoch FROM created_at)::int FROM commerce_outbox`))
	require.NoError(t, s.post([]string{updated("again", "1")}))
	require.Len(t, s.read(inOutbox), 2, "they are released once")
	s.drain()
	s.accepted("early")
	s.accepted("early too")
	require.Equal(t, []string{"1"}, s.read(requests))
}

// An invoice may stand before its order in what the drainer takes at once.
func TestAnInvoiceBeforeItsOrderInOneBatchIsTaken(t *testing.T) {
	t.Parallel()
	s := newUndrainedShop(t)
	s.publish(invoiceOf("early", "1"), invoiceOf("never", "2"), placed("order", "1"), invoiceOf("early", "1"))
	s.drain()
	s.accepted("early")
	s.accepted("order")
	require.Equal(t, []string{"never"}, s.read(inQuarantine))
	require.Equal(t, []string{"1"}, s.read(`SELECT last_value::text FROM commerce_quarantine_id_seq`), "no other was ever there")
	require.Equal(t, []string{"1"}, s.read(requests))
}

// race lets the first work hold its transaction until the second one waits for it, and commits it then.
func (s *shop) race(first, second func(tx pgx.Tx) error) {
	s.t.Helper()
	held := s.begin()
	require.NoError(s.t, first(held))
	done := make(chan error, 1)
	go func() { done <- s.inTx(second) }()
	s.becomes("1", `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	require.NoError(s.t, held.Commit(s.t.Context()))
	require.NoError(s.t, <-done)
}

// The gate's lock puts the two transactions in an order; in either, the invoice does not stay in the quarantine.
func TestAnInvoiceAndItsOrderRace(t *testing.T) {
	t.Parallel()
	for name, known := range map[string]bool{"gate_is_new": false, "gate_is_there": true} {
		s := newUndrainedShop(t)
		if known { // by an invoice whose transaction left a gate and nothing else
			s.wait("gate", "1")
			_, err := s.pool.Exec(t.Context(), `DELETE FROM commerce_quarantine`)
			require.NoError(t, err)
			require.Equal(t, []string{"1"}, s.read(`SELECT order_key FROM erp_sync_gate`))
		}
		bringsOrder := func(tx pgx.Tx) error { return s.drainIn(tx, placed("order", "1")) }
		bringsInvoice := func(tx pgx.Tx) error { return s.drainIn(tx, invoiceOf("early", "1")) }

		s.race(bringsInvoice, bringsOrder)
		require.Empty(t, s.read(inQuarantine), "%s: the invoice was first", name)
		require.Equal(t, []string{invoiceOf("early", "1")}, s.read(inOutbox), "%s: the order has released it", name)

		s.empty()
		_, err := s.pool.Exec(t.Context(), `DELETE FROM commerce_outbox`)
		require.NoError(t, err)
		s.race(bringsOrder, bringsInvoice)
		require.Empty(t, s.read(inQuarantine), "%s: the order was first", name)
		require.Empty(t, s.read(inOutbox), name)
		require.Equal(t, []string{"1"}, s.read(requests), "%s: the invoice found it", name)
	}
}

// An operator's hand on an entry holds up no order. What was passed over for it is found by the drainer's next sweep, as
// is what waited when this version was installed.
func TestAnEntryThatSomebodyHoldsIsReleasedLater(t *testing.T) {
	t.Parallel()
	s := newUndrainedShop(t)
	s.wait("early", "1")
	hand := s.begin()
	_, err := hand.Exec(t.Context(), `SELECT FROM commerce_quarantine FOR UPDATE`)
	require.NoError(t, err)
	require.NoError(t, s.post([]string{placed("order", "1")}))
	require.Equal(t, []string{"early"}, s.read(inQuarantine))
	require.NoError(t, hand.Rollback(t.Context()))
	s.drain()
	s.accepted("early")
	require.Empty(t, s.read(inQuarantine))
}

// Orders and the invoices that name them come in any order, at once, through two doors. In the end no invoice is left
// and each order is requested once.
func TestOrdersAndInvoicesCrossing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const orders, before = 300, 40
	var early, mixed []string
	for n := range orders {
		order, invoiced := fmt.Sprint(1000+n), invoiceOf(fmt.Sprint("invoice", n), fmt.Sprint(1000+n))
		if n < before {
			early = append(early, invoiced)
		} else {
			mixed = append(mixed, invoiced)
		}
		mixed = append(mixed, placed(fmt.Sprint("order", n), order))
	}
	s.publish(early...)
	s.becomes(fmt.Sprint(before), `SELECT count(*)::text FROM commerce_quarantine`)
	rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	const workers = 8
	done := make(chan error, workers)
	for worker := range workers {
		go func() {
			var errs []error
			for i := worker; i < len(mixed); i += workers {
				errs = append(errs, s.publishCrossing(mixed[i]))
			}
			done <- errors.Join(errs...)
		}()
	}
	for range workers {
		require.NoError(t, <-done)
	}
	s.becomes(fmt.Sprint(2*orders, " accepted, 0 quarantined, 0 waiting"), `SELECT (SELECT count(*) FROM accepted_event) || ' accepted, ' ||
		(SELECT count(*) FROM commerce_quarantine) || ' quarantined, ' || (SELECT count(*) FROM commerce_outbox) || ' waiting'`)
	require.Equal(t, []string{fmt.Sprint(orders, " ", orders)}, s.read(
		`SELECT count(*) || ' ' || count(DISTINCT key) FROM erp_outbox WHERE topic = 'vendor_erp_sync_requested'`))
}

// publishCrossing sends orders through either door, and invoices through the outbox, where they may wait.
func (s *shop) publishCrossing(e string) error {
	if strings.Contains(e, "order.placed") && rand.IntN(2) == 0 {
		results, err := s.accepter().Accept(s.t.Context(), []accept.Incoming{{Body: []byte(e)}})
		if err == nil && results[0].Result != accept.Accepted {
			err = fmt.Errorf("%+v", results[0])
		}
		return err
	}
	return doors["go_pgx"](s, []string{e})
}
