package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/commerce"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// publish commits events through the Go library, as one transaction.
func (s *shop) publish(events ...string) {
	s.t.Helper()
	require.NoError(s.t, doors["go_pgx"](s, events))
}

func (s *shop) accepted(eventID string) {
	s.t.Helper()
	s.becomes("1", `SELECT count(*)::text FROM accepted_event WHERE event_id = $1`, eventID)
}

func (s *shop) begin() pgx.Tx {
	s.t.Helper()
	tx, err := s.pool.Begin(s.t.Context())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(s.t.Context())) })
	return tx
}

func amount(t *testing.T, s string) commerce.Amount {
	t.Helper()
	a, err := commerce.ParseAmount(s)
	require.NoError(t, err)
	return a
}

// The typed event says what the JSON one says: the ERP is sent the same bytes.
func TestATypedEventReachesTheErpAsTheJSONOneDoes(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	require.NoError(t, s.inTx(func(tx pgx.Tx) error {
		return commerce.Outbox{}.Publish(t.Context(), tx, commerce.Event{
			ID: "e1", Type: commerce.InvoiceCreated, OccurredAt: time.Now(), Invoice: &commerce.Invoice{IncrementID: "000000045"},
			Order: &commerce.Order{
				IncrementID: "1", OrderID: new(int64(123)), Currency: "EUR", CustomerEmail: new("john@example.com"),
				Items: []commerce.Item{{
					ItemID: new(int64(1)), SKU: "PROD-001", Name: "Größe <L> & more",
					Qty: amount(t, "2"), Price: amount(t, "99.99"), RowTotal: amount(t, "199.98"),
				}},
				Totals: commerce.Totals{
					Subtotal: amount(t, "199.98"), Tax: amount(t, "20.00"), Shipping: amount(t, "10.00"), Discount: amount(t, "0.00"),
					GrandTotal: amount(t, "229.98"),
				},
				CreatedAt: "2024-01-15 10:00:00",
			},
		})
	}))
	s.accepted("e1")
	s.publish(invoice("e2", "2"))
	s.accepted("e2")
	payload := func(order string) string {
		var o domain.Order
		require.NoError(t, json.Unmarshal([]byte(s.read(`SELECT snapshot::text FROM sales_order WHERE order_key = $1`, order)[0]), &o))
		sent, err := domain.BuildPayload(domain.OrderRef{Source: domain.DefaultSource, IncrementID: "X"}, o)
		require.NoError(t, err)
		return string(sent)
	}
	require.Equal(t, payload("2"), payload("1"))
}

// What a typed event leaves out is missing, not nought.
func TestATypedEventWithoutAmountsIsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	require.NoError(t, s.inTx(func(tx pgx.Tx) error {
		return commerce.Outbox{}.Publish(t.Context(), tx, commerce.Event{
			ID: "e1", Type: commerce.OrderPlaced, Order: &commerce.Order{IncrementID: "1", Items: []commerce.Item{{SKU: "A"}}},
		})
	}))
	s.becomes("/order/items/0/qty /order/totals/grand_total",
		`SELECT string_agg(p ->> 'pointer', ' ') FROM commerce_quarantine, json_array_elements(problems) p`)
}

func TestATransactionHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	t.Run("that_stays_open", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		slow := s.begin()
		require.NoError(t, commerce.Outbox{}.Publish(t.Context(), slow, asJSON([]string{invoice("slow", "1")})...))
		for i := range 5 {
			s.publish(invoice(fmt.Sprint("e", i), fmt.Sprint(10+i)))
			s.accepted(fmt.Sprint("e", i))
		}
		require.NoError(t, slow.Commit(t.Context()))
		s.accepted("slow")
	})
	t.Run("that_rolls_back", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		tx := s.begin()
		require.NoError(t, commerce.Outbox{}.Publish(t.Context(), tx, asJSON([]string{invoice("never", "1")})...))
		require.NoError(t, tx.Rollback(t.Context()))
		s.publish(invoice("e1", "2"))
		s.accepted("e1")
		require.Empty(t, s.read(`SELECT event_id FROM accepted_event WHERE event_id = 'never'`))
	})
	t.Run("that_is_refused_by_the_rule_can_go_on", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		tx := s.begin()
		require.ErrorIs(t, commerce.Outbox{}.Publish(t.Context(), tx, asJSON([]string{invoice("e0", "1"), `{"event_id": "x"}`})...), commerce.ErrIncomplete)
		require.NoError(t, commerce.Outbox{}.Publish(t.Context(), tx, asJSON([]string{invoice("e1", "1")})...))
		require.NoError(t, tx.Commit(t.Context()))
		s.accepted("e1")
		require.Equal(t, []string{"e1"}, s.read(`SELECT event_id FROM accepted_event`))
	})
	t.Run("with_thousands_of_rows", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		const rows = 6_000
		_, err := s.pool.Exec(t.Context(), `
			INSERT INTO commerce_outbox (source, payload)
			SELECT 'bulk', convert_to(replace($1, '@', n::text), 'UTF8') FROM generate_series(1, $2) n`,
			replaced(placed("bulk-@", "@"), `"type"`, `"source": "bulk", "type"`), rows)
		require.NoError(t, err)
		s.publish(invoice("e1", "1"))
		s.accepted("e1")
		var before int
		require.NoError(t, s.pool.QueryRow(t.Context(),
			`SELECT count(*) FROM erp_outbox WHERE id < (SELECT min(id) FROM erp_outbox WHERE key = '1')`).Scan(&before))
		require.Less(t, before, rows/2, "the other shop's event waited for the backlog")
		s.becomes(fmt.Sprint(rows+1), `SELECT count(*)::text FROM accepted_event`)
	})
}

func TestWhatTheDatabaseRefusesIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, err := s.pool.Exec(t.Context(), `ALTER TABLE sales_order ADD CHECK (increment_id <> 'poison')`)
	require.NoError(t, err)
	events := []string{placed("p", "poison")}
	for i := range 20 {
		events = append(events, placed(fmt.Sprint("e", i), fmt.Sprint(i)))
	}
	s.publish(events...)
	s.becomes("20", `SELECT count(*)::text FROM accepted_event`)
	s.becomes("failed", `SELECT code FROM commerce_quarantine`)
	require.Contains(t, s.read(`SELECT problems::text FROM commerce_quarantine`)[0], "sales_order_increment_id_check")
}

func TestAnEventThatIsTooLargeIsSetAsideWhole(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.publish(padded(event.MaxEventBytes+1), invoice("e1", "1"))
	s.accepted("e1")
	s.becomes(fmt.Sprint("too_large ", event.MaxEventBytes+1), `SELECT code || ' ' || octet_length(payload) FROM commerce_quarantine`)
}

func TestARowThatSomebodyHoldsIsTakenLater(t *testing.T) {
	t.Parallel()
	s := newUndrainedShop(t)
	s.publish(invoice("held", "1"))
	holder := s.begin()
	_, err := holder.Exec(t.Context(), `SELECT FROM commerce_outbox FOR UPDATE`)
	require.NoError(t, err)
	s.drain()
	s.publish(invoice("e1", "2"))
	s.accepted("e1")
	require.Empty(t, s.read(`SELECT event_id FROM accepted_event WHERE event_id = 'held'`))
	require.NoError(t, holder.Rollback(t.Context()))
	s.accepted("held")
}

// The drainer's sessions end, as when Postgres is restarted or fails over.
func TestTheDrainerGoesOnAfterItsSessionsEnded(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.publish(invoice("e1", "1"))
	s.accepted("e1")
	for i := range 5 {
		_, err := s.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return s.pool.Ping(t.Context()) == nil }, time.Minute, 10*time.Millisecond)
		id := fmt.Sprint("after", i)
		require.Eventually(t, func() bool { return doors["go_pgx"](s, []string{invoice(id, id)}) == nil }, time.Minute, 10*time.Millisecond)
		s.accepted(id)
	}
}

func TestASecondDrainerTakesOver(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	second := s.drain()
	s.publish(invoice("e1", "1"))
	s.accepted("e1")
	require.NoError(t, second.Check(t.Context()))
	// The first one's slot is the older session.
	require.Eventually(t, func() bool {
		_, err := s.pool.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	s.publish(invoice("e2", "2"))
	s.accepted("e2")
}

// erp_publisher may publish and do nothing else, and the function finds its own table whatever the caller's path.
func TestTheRoleOfShops(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	conn, err := s.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	_, err = conn.Exec(t.Context(), `CREATE TEMP TABLE commerce_outbox (source text, payload bytea); SET search_path = pg_temp, public; SET ROLE erp_publisher`)
	require.NoError(t, err)
	defer func() { _, _ = conn.Exec(context.WithoutCancel(t.Context()), `RESET ROLE; DISCARD ALL`) }()
	_, err = conn.Exec(t.Context(), `SELECT erp_publish($1::text::jsonb)`, invoice("e1", "1"))
	require.NoError(t, err)
	s.accepted("e1")
	_, err = conn.Exec(t.Context(), `INSERT INTO public.commerce_outbox (source, payload) VALUES ('default', $1)`, []byte(invoice("e2", "2")))
	require.NoError(t, err)
	s.accepted("e2")
	for _, forbidden := range []string{
		`SELECT * FROM public.commerce_outbox`, `DELETE FROM public.commerce_outbox`, `UPDATE public.commerce_outbox SET source = 'x'`,
		`TRUNCATE public.commerce_outbox`, `INSERT INTO public.commerce_outbox (id, source, payload) OVERRIDING SYSTEM VALUE VALUES (1, 'x', '')`,
		`INSERT INTO public.commerce_outbox (xact, source, payload) VALUES ('1', 'x', '')`, `SELECT nextval('commerce_outbox_id_seq')`,
		`SELECT * FROM sales_order`, `SELECT * FROM vendor_erp_sync`, `SELECT * FROM erp_sync_gate`, `SELECT * FROM commerce_quarantine`,
		`INSERT INTO erp_outbox (topic, key, uuid, metadata, payload) VALUES ('', '', '', '', '')`, `UPDATE setting SET value = '1'`,
	} {
		_, err := conn.Exec(t.Context(), forbidden)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, forbidden)
		require.Equal(t, "42501", pgErr.Code, forbidden)
	}
}

// Another role, without a grant, cannot even publish.
func TestPublishingIsGrantedNotGiven(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	tx := s.begin()
	_, err := tx.Exec(t.Context(), `CREATE ROLE nobody_`+strings.ToLower(t.Name())+`; SET LOCAL ROLE nobody_`+strings.ToLower(t.Name()))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT erp_publish('{"event_id": "e1", "type": "order.placed", "order": {}}')`)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "42501", pgErr.Code)
}

func (s *shop) quarantine() *decider {
	return &decider{pool: s.pool, accepter: accept.New(s.pool, setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler))}
}

func listed(t *testing.T, q *decider, f quarantine.Filter) []quarantine.Entry {
	t.Helper()
	page, err := q.List(t.Context(), f)
	require.NoError(t, err)
	return page.Entries
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	q := s.quarantine()
	bad := replaced(placed("bad", "2"), "order.placed", "order.deleted")
	s.publish(invoiceOf("early", "1"), bad, padded(event.MaxEventBytes+1))
	s.becomes("3", `SELECT count(*)::text FROM commerce_quarantine`)
	entries := listed(t, q, quarantine.Filter{})
	byCode := map[quarantine.Code]quarantine.Entry{}
	for _, e := range entries {
		byCode[e.Code] = e
	}
	unknown, refused, large := byCode["unknown_order"], byCode["refused"], byCode["too_large"]
	require.Equal(t, "1", unknown.OrderKey)
	require.Equal(t, "bad", refused.EventID)
	require.Equal(t, "/type", refused.Problems[0].Pointer)
	require.Equal(t, event.MaxEventBytes+1, large.Bytes)

	t.Run("is_listed_by_code_source_and_page", func(t *testing.T) {
		for _, c := range []struct {
			filter quarantine.Filter
			want   int
		}{
			{quarantine.Filter{Code: "refused"}, 1},
			{quarantine.Filter{Source: "default"}, 3},
			{quarantine.Filter{Source: "shop-b"}, 0},
			{quarantine.Filter{Limit: 2}, 2},
			{quarantine.Filter{After: entries[1].ID}, 1},
		} {
			require.Len(t, listed(t, q, c.filter), c.want, "%+v", c.filter)
		}
	})
	t.Run("shows_the_event_as_it_was_published", func(t *testing.T) {
		e, err := q.Get(t.Context(), refused.ID)
		require.NoError(t, err)
		require.Equal(t, bad, string(e.Payload))
		require.Equal(t, trace, e.Traceparent)
		_, err = q.Get(t.Context(), 1_000_000)
		require.ErrorContains(t, err, "there is no such entry")
	})
	t.Run("keeps_what_is_refused_again_with_the_reason", func(t *testing.T) {
		sent, err := q.Send(t.Context(), []int64{unknown.ID, refused.ID, large.ID, 1_000_000})
		require.NoError(t, err)
		require.Len(t, sent, 3)
		for _, s := range sent {
			require.Equal(t, "refused", string(s.Result.Result))
		}
		again := listed(t, q, quarantine.Filter{})
		require.Len(t, again, 3)
		for i, e := range again {
			require.Equal(t, 2, e.Tries)
			require.Equal(t, entries[i].Code, e.Code)
			require.Equal(t, entries[i].Problems, e.Problems)
		}
	})
	t.Run("lets_go_what_is_accepted", func(t *testing.T) {
		sent, err := q.Send(t.Context(), []int64{unknown.ID})
		require.NoError(t, err)
		require.Equal(t, "refused", string(sent[0].Result.Result), "its order is still not there")
		brought, err := q.SendCorrected(t.Context(), unknown.ID, json.RawMessage(invoice("early", "1")))
		require.NoError(t, err)
		require.Equal(t, "accepted", string(brought.Result.Result), "%+v", brought)
		worse, err := q.SendCorrected(t.Context(), refused.ID, json.RawMessage(`{}`))
		require.NoError(t, err)
		require.Equal(t, "refused", string(worse.Result.Result))
		kept, err := q.Get(t.Context(), refused.ID)
		require.NoError(t, err)
		require.Equal(t, bad, string(kept.Payload), "a bad correction loses nothing")
		corrected, err := q.SendCorrected(t.Context(), refused.ID, json.RawMessage(placed("bad", "2")))
		require.NoError(t, err)
		require.Equal(t, "accepted", string(corrected.Result.Result), "%+v", corrected)
		require.Equal(t, []string{"too_large"}, s.read(`SELECT code FROM commerce_quarantine`))
		require.Equal(t, []string{"bad", "early"}, s.read(`SELECT event_id FROM accepted_event ORDER BY 1`))
	})
	t.Run("keeps_what_the_database_refuses", func(t *testing.T) {
		_, err := s.pool.Exec(t.Context(), `ALTER TABLE sales_order ADD CHECK (increment_id <> 'poison')`)
		require.NoError(t, err)
		s.publish(placed("p", "poison"))
		s.becomes("1", `SELECT count(*)::text FROM commerce_quarantine WHERE code = 'failed'`)
		failed := listed(t, q, quarantine.Filter{Code: "failed"})
		sent, err := q.Send(t.Context(), []int64{failed[0].ID})
		require.NoError(t, err)
		require.Contains(t, sent[0].Result.Errors[0].Detail, "sales_order_increment_id_check")
		require.Equal(t, []string{"2"}, s.read(`SELECT tries::text FROM commerce_quarantine WHERE code = 'failed'`))
	})
}

// The drainer deletes what has aged in the quarantine. What waits of the outbox does not age.
func TestTheDrainerDeletesWhatHasAged(t *testing.T) {
	t.Parallel()
	s := newUndrainedShop(t)
	require.NoError(t, s.post([]string{wrongType(invoice("old", "1")), wrongType(invoice("new", "2"))}))
	_, err := s.pool.Exec(t.Context(), `UPDATE commerce_quarantine SET quarantined_at = now() - interval '31 days' WHERE event_id = 'old'`)
	require.NoError(t, err)
	_, err = s.pool.Exec(t.Context(), `INSERT INTO commerce_quarantine (source, event_id, code, problems, payload, published_at, quarantined_at)
		VALUES ('default', 'waits', 'refused', '[]', '', now() - interval '1 year', now() - interval '1 year')`)
	require.NoError(t, err)
	s.drain()
	s.becomes("new waits", `SELECT string_agg(event_id, ' ' ORDER BY event_id) FROM commerce_quarantine`)
}
