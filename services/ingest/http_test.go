package ingest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/mux"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// publisher is a shop that posts events to the handler, and a page that records what it is answered.
type publisher struct {
	*problemtest.Recorder
	t    *testing.T
	pool *pgxpool.Pool
}

func setup(t *testing.T, name string, change func(*setting.Settings)) *publisher {
	t.Helper()
	s := setting.Defaults()
	if change != nil {
		change(&s)
	}
	pool := testkit.Postgres(t).Pool
	return &publisher{Recorder: problemtest.New(t, name, serve(t, pool, s)), t: t, pool: pool}
}

func serve(t *testing.T, pool *pgxpool.Pool, s setting.Settings) http.Handler {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	router := mux.NewRouter().UseEncodedPath()
	for _, r := range routes(pool, accept.New(pool, setting.Fixed(s), log), quarantine.NewKeeper(pool, log), log) {
		router.Handle(r.Path, httpapi.CheckQuery(r)).Methods(r.Method)
	}
	return router
}

func (p *publisher) post(body string) {
	p.t.Helper()
	p.postAs("application/json", body)
}

func (p *publisher) postAs(contentType, body string) {
	p.t.Helper()
	p.Do(problemtest.Request{
		Method: http.MethodPost, Path: "/rest/V1/erpconnector/events", Header: []string{"Content-Type", contentType}, Body: body,
	})
}

// outbox notes what waits for the relay.
func (p *publisher) outbox() {
	p.t.Helper()
	rows, err := p.pool.Query(p.t.Context(), `SELECT topic || ' ' || key FROM erp_outbox ORDER BY id`)
	require.NoError(p.t, err)
	waiting, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(p.t, err)
	if len(waiting) == 0 {
		waiting = []string{"nothing"}
	}
	p.Note("in the outbox: %s", strings.Join(waiting, ", "))
}

const order = `{"order_increment_id": "%s", "order_id": 123, "currency": "EUR", "customer_email": "john@example.com",
  "items": [{"item_id": 1, "sku": "PROD-001", "name": "Größe <L> & more", "qty": "2", "price": "99.99", "row_total": "199.98"}],
  "totals": {"subtotal": "199.98", "tax": "20.00", "shipping": "10.00", "discount": "0.00", "grand_total": "229.98"},
  "created_at": "2024-01-15 10:00:00"}`

func placed(eventID, incrementID string) string {
	return fmt.Sprintf(`{"event_id": "%s", "type": "order.placed", "order": `+order+`}`, eventID, incrementID)
}

func invoice(eventID, incrementID string) string {
	return fmt.Sprintf(`{"event_id": "%s", "type": "invoice.created", "invoice": {"increment_id": "000000045"}, "order": `+order+`}`,
		eventID, incrementID)
}

// invoiceOf names its order instead of bringing it.
func invoiceOf(eventID, incrementID string) string {
	return fmt.Sprintf(`{"event_id": "%s", "type": "invoice.created", "invoice": {"increment_id": "000000045", "order_increment_id": "%s"}}`,
		eventID, incrementID)
}

func batch(events ...string) string { return "[" + strings.Join(events, ",\n ") + "]" }

// badTotals do not add up.
func badTotals(event string) string {
	return strings.Replace(event, `"tax": "20.00"`, `"tax": "19.99"`, 1)
}

// absentAmounts leaves out a price and a discount, and says null for the shipping; the rest adds up.
func absentAmounts(event string) string {
	event = strings.Replace(event, `"price": "99.99", `, ``, 1)
	event = strings.Replace(event, `"shipping": "10.00", "discount": "0.00"`, `"shipping": null`, 1)
	return strings.Replace(event, `"grand_total": "229.98"`, `"grand_total": "219.98"`, 1)
}

func TestGolden(t *testing.T) {
	t.Parallel()
	refuseBadTotals := func(s *setting.Settings) { s.RefuseBadTotals = true }
	disabled := func(s *setting.Settings) { s.Enabled = false }
	forTheCron := func(s *setting.Settings) { s.ImmediateSync = false }
	tests := []struct {
		name   string
		change func(*setting.Settings)
		story  func(p *publisher)
	}{
		{name: "invoice_accepted", story: func(p *publisher) { p.post(invoice("e1", "000000123")) }},
		{name: "order_placed_starts_no_sync", story: func(p *publisher) { p.post(placed("e1", "000000123")) }},
		{name: "duplicate", story: func(p *publisher) {
			p.post(invoice("e1", "000000123"))
			p.Note("the same with other white space")
			p.post(strings.ReplaceAll(invoice("e1", "000000123"), "\n", ""))
		}},
		{name: "duplicate_that_differs", story: func(p *publisher) {
			p.post(invoice("e1", "000000123"))
			p.post(strings.Replace(invoice("e1", "000000123"), "99.99", "99.98", 1))
		}},
		{name: "an_id_used_for_another_event", story: func(p *publisher) {
			p.post(placed("e1", "000000123"))
			p.Note("another order, then another type")
			p.post(placed("e1", "000000124"))
			p.post(invoice("e1", "000000123"))
			p.Note("in a batch it spoils no other")
			p.post(batch(invoice("e1", "000000124"), placed("e2", "000000124")))
		}},
		{name: "another_order_under_a_known_number", story: func(p *publisher) {
			p.post(placed("e1", "000000123"))
			p.post(replaced(invoice("e2", "000000123"), `"order_id": 123`, `"order_id": 124`))
		}},
		{name: "an_older_state_of_an_order", story: func(p *publisher) {
			p.post(updatedAt(placed("e1", "000000123"), "12:00:00"))
			p.post(updatedAt(replaced(placed("e2", "000000123"), "order.placed", "order.updated"), "11:00:00"))
		}},
		{name: "batch_with_accepted_refused_and_duplicate", story: func(p *publisher) {
			p.post(batch(invoice("e1", "000000123"), `{"event_id": "e2", "type": "order.deleted"}`, invoice("e1", "000000123"),
				`"not an object"`, placed("e3", "000000124")))
		}},
		{name: "invoice_without_order_of_a_known_one", story: func(p *publisher) {
			p.post(placed("e1", "000000123"))
			p.post(invoiceOf("e2", "000000123"))
		}},
		{name: "invoice_without_order_of_an_unknown_one", story: func(p *publisher) {
			p.post(invoiceOf("e1", "000000123"))
			p.Note("the order comes first in the same batch")
			p.post(batch(placed("e2", "000000124"), invoiceOf("e3", "000000124")))
		}},
		{name: "two_sources_with_the_same_number", story: func(p *publisher) {
			p.post(invoice("e1", "000000123"))
			p.post(strings.Replace(invoice("e1", "000000123"), `"type"`, `"source": "shop-b", "type"`, 1))
		}},
		{name: "an_increment_id_with_slash_and_percent", story: func(p *publisher) { p.post(invoice("e1", "A/1%2")) }},
		{name: "second_invoice_of_an_order_already_requested", story: func(p *publisher) {
			p.post(invoice("e1", "000000123"))
			p.post(invoice("e2", "000000123"))
			p.Note("a changed order is not sent either")
			p.post(replaced(placed("e3", "000000123"), "order.placed", "order.updated"))
		}},
		{name: "events_of_an_order_that_is_held", change: forTheCron, story: func(p *publisher) {
			p.post(invoice("e1", "000000123"))
			p.post(invoice("e2", "000000123"))
			p.Note("the order goes out as it is known then, so there is nothing to tell")
			p.post(replaced(placed("e3", "000000123"), "order.placed", "order.updated"))
		}},
		{name: "connector_disabled", change: disabled, story: func(p *publisher) { p.post(invoice("e1", "000000123")) }},
		{name: "held_for_the_cron", change: forTheCron, story: func(p *publisher) { p.post(invoice("e1", "000000123")) }},
		{name: "totals_that_do_not_add_up_are_warned_of", story: func(p *publisher) { p.post(badTotals(invoice("e1", "000000123"))) }},
		{name: "totals_that_do_not_add_up_are_refused", change: refuseBadTotals, story: func(p *publisher) {
			p.post(badTotals(invoice("e1", "000000123")))
		}},
		{name: "absent_amounts_are_warned_of", story: func(p *publisher) { p.post(absentAmounts(invoice("e1", "000000123"))) }},
		{name: "absent_amounts_are_refused", change: refuseBadTotals, story: func(p *publisher) {
			p.post(absentAmounts(invoice("e1", "000000123")))
		}},
		{name: "lines_and_adjustments_that_are_not_sent", story: func(p *publisher) {
			p.post(replaced(replaced(invoice("e1", "000000123"), `}],`, `}, {"item_id": 2, "parent_item_id": 1, "sku": "PROD-001-RED", "qty": 2}],`),
				`"grand_total": "229.98"`, `"adjustments": [{"code": "giftcard", "amount": "-29.98"}], "grand_total": "200.00"`))
			p.Note("an order without a line to send")
			p.post(replaced(invoice("e2", "000000124"), `"item_id": 1`, `"item_id": 1, "parent_item_id": 7`))
			p.Note("0 and an empty text are no parent")
			p.post(replaced(invoice("e3", "000000125"), `"item_id": 1`, `"item_id": 1, "parent_item_id": 0`))
		}},
		{name: "batch_of_which_nothing_is_taken", story: func(p *publisher) {
			p.post(batch(placed("", "000000123"), placed("e2", "")))
			p.Note("a duplicate is taken")
			p.post(placed("e3", "000000123"))
			p.post(batch(placed("e3", "000000123"), placed("e3", "000000123")))
		}},
		{name: "numbers_that_nobody_could_look_up", story: func(p *publisher) {
			p.post(batch(placed("e1", "1001 "), placed("e2", "\u00a01001"), placed("e3", `10\u200b01`), placed("e4", ".."), invoiceOf("e5", `1001\u202e`)))
		}},
		{name: "not_declared_as_json", story: func(p *publisher) {
			p.postAs("text/xml", "<event/>")
			p.postAs("", placed("e1", "000000123"))
			p.Note("a suffix of +json will do")
			p.postAs("application/cloudevents+json; charset=utf-8", placed("e1", "000000123"))
		}},
		{name: "not_json", story: func(p *publisher) {
			p.post(`{"event_id": "e1",}`)
			p.post("[" + placed("e1", "000000123") + ", {]")
			p.post(placed("e1", "000000123") + " and more")
			p.post("")
		}},
		{name: "what_may_mean_two_things", story: func(p *publisher) {
			p.post(replaced(placed("e1", "000000123"), `"type"`, `"source": "a", "source": "b", "type"`))
			p.post(batch(replaced(placed("e2", "000000123"), `"event_id"`, `"Event_ID"`), replaced(placed("e3", "000000123"), `"order_id"`, `"gift": {"to": 1, "to": 2}, "order_id"`)))
			p.post("\xEF\xBB\xBF" + placed("e4", "000000123"))
			p.post("\xFE\xFF\x00{\x00}")
			p.Note("a parameter, which no event has")
			p.Do(problemtest.Request{
				Method: http.MethodPost, Path: "/rest/V1/erpconnector/events?source=outlet", Header: []string{"Content-Type", "application/json"}, Body: placed("e5", "000000123"),
			})
		}},
		{name: "event_too_large", story: func(p *publisher) {
			p.post(padded(event.MaxEventBytes + 1))
			p.Note("in a batch it spoils no other")
			p.post(batch(padded(event.MaxEventBytes+1), placed("e1", "000000123")))
			p.Note("one byte less is taken")
			p.post(padded(event.MaxEventBytes))
		}},
		{name: "body_too_large", story: func(p *publisher) { p.post(padded(maxBodyBytes + 1)) }},
		{name: "batch_too_large", story: func(p *publisher) { p.post("[" + strings.Repeat("{},", maxBatch) + "{}]") }},
		{name: "empty_batch", story: func(p *publisher) { p.post(" [] ") }},
		{name: "several_errors_at_once", story: severalErrors},
		{name: "text_that_cannot_be_stored", story: func(p *publisher) {
			p.post(placed(`a\u0000b`, "000000123"))
			p.post(placed("e1", `\uD83D`))
			p.post(strings.Replace(placed("e1", "000000123"), "Größe", "Gr\xf6\xdfe", 1))
			p.post(batch(placed(`\udc00`, "000000123"), placed("e2", `000000123`), placed("e3", `\ud83d\u0000`)))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := setup(t, test.name, test.change)
			test.story(p)
			p.outbox()
		})
	}
}

func severalErrors(p *publisher) {
	p.post(`{"type": "order.deleted", "source": "Shop B", "occurred_at": "yesterday",
 "order": {"order_increment_id": "", "items": [{"sku": "A", "qty": 1}, {"name": "no sku, no qty"}], "created_at": "15.1.2024", "updated_at": "x"}}`)
	p.Note("each value that does not fit says where it stands")
	p.post(`{"event_id": "e1", "type": "order.placed", "order": {"order_increment_id": 123, "is_virtual": "no",
 "items": [{"sku": "A", "qty": "two"}, {"sku": "B", "qty": 1, "price": 123456789012345}, "C"],
 "totals": {"grand_total": "1,50"}, "billing_address": {"street": "Main Street 1"}}}`)
	p.post(`{"event_id": 1, "type": "invoice.created", "invoice": {"increment_id": 45}, "order": []}`)
	p.Note("an invoice without its number, for another order than the one that came with it")
	p.post(strings.Replace(invoice("e1", "000000123"), `"increment_id": "000000045"`, `"order_increment_id": "000000124"`, 1))
}

// padded is an event of that many bytes.
func padded(size int) string {
	start := strings.Replace(placed("padded", "000000125"), `"order_id"`, `"padding": "`, 1)
	head, tail, _ := strings.Cut(start, `"padding": "`)
	head += `"padding": "`
	tail = `", "order_id"` + tail
	return head + strings.Repeat("x", size-len(head)-len(tail)) + tail
}

func TestNothingIsAcceptedWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	unreachable, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/nowhere?connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(unreachable.Close)
	ended := testkit.Postgres(t).Pool
	ended.Close()
	for name, pool := range map[string]*pgxpool.Pool{"unreachable": unreachable, "ended": ended} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &publisher{t: t, pool: pool, Recorder: problemtest.New(t, "postgres_away", serve(t, pool, setting.Defaults()))}
			p.post(invoice("e1", "000000123"))
			p.Note("what is refused is told all the same")
			p.post(batch(`{}`))
		})
	}
}

// A token for one shop publishes that shop's events. One of another shop is refused and told why; those beside it are taken.
func TestATokenForOneShopPublishesItsEventsOnly(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	handler := serve(t, pool, setting.Defaults())
	bound := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(httpapi.WithIdentity(r.Context(), httpapi.Identity{Name: "shop", Source: "outlet"})))
	})
	p := &publisher{Recorder: problemtest.New(t, "token_for_one_shop", bound), t: t, pool: pool}
	own := strings.Replace(placed("e-1", "000000123"), `"type"`, `"source": "outlet", "type"`, 1)
	p.post(own)
	p.post(placed("e-2", "000000124"))
	p.post("[" + strings.Replace(own, "e-1", "e-3", 1) + "," + placed("e-4", "000000125") + "]")
	p.outbox()
}

// Events at a path with a store code name their shop themselves: an event means the same wherever it comes in.
func TestEventsAtTheirStoresPath(t *testing.T) {
	t.Parallel()
	pool, log := testkit.Postgres(t).Pool, slog.New(slog.DiscardHandler)
	server := httpapi.NewServer(config.HTTP{Token: "first"}, nil, routes(pool, accept.New(pool, setting.Fixed(setting.Defaults()), log), quarantine.NewKeeper(pool, log), log), nil, log).Handler()
	for i, c := range []struct {
		store, source string
		want          int
	}{
		{"outlet", "outlet", http.StatusAccepted},
		{"outlet", "", http.StatusUnprocessableEntity},
		{"outlet", "default", http.StatusUnprocessableEntity},
		{"default", "", http.StatusAccepted},
		{"default", "outlet", http.StatusUnprocessableEntity},
		{"all", "outlet", http.StatusAccepted},
		{"all", "", http.StatusAccepted},
	} {
		event := placed(fmt.Sprintf("e-%d", i), fmt.Sprintf("00000012%d", i))
		if c.source != "" {
			event = strings.Replace(event, `"type"`, fmt.Sprintf(`"source": %q, "type"`, c.source), 1)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/rest/"+c.store+"/V1/erpconnector/events", strings.NewReader(event))
		r.Header.Set("Authorization", "Bearer first")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, "%s of %q: %s", c.store, c.source, w.Body)
		if c.want != http.StatusAccepted {
			require.Contains(t, w.Body.String(), `"contradicts"`)
		}
	}
}
