package ingest

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // a driver of database/sql
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/drain"
	"github.com/erpconnector/erpconnector/shared/commerce"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// doors are the ways into the connector. Each publishes events together: in one transaction, or one request.
var doors = map[string]func(s *shop, events []string) error{
	"http": (*shop).post,
	"sql_function": func(s *shop, events []string) error {
		return s.inTx(func(tx pgx.Tx) error {
			for _, e := range events {
				if _, err := tx.Exec(s.t.Context(), `SELECT erp_publish($1::text::jsonb)`, e); err != nil {
					return err
				}
			}
			return nil
		})
	},
	"go_pgx": func(s *shop, events []string) error {
		return s.inTx(func(tx pgx.Tx) error { return commerce.Outbox{}.Publish(s.t.Context(), tx, asJSON(events)...) })
	},
	"go_database_sql": func(s *shop, events []string) error {
		return s.inSQLTx(func(tx *sql.Tx) error {
			return commerce.Outbox{Schema: "public"}.PublishSQL(s.t.Context(), tx, asJSON(events)...)
		})
	},
	"watermill": func(s *shop, events []string) error {
		return s.inSQLTx(func(tx *sql.Tx) error {
			publisher, err := wsql.NewPublisher(tx, wsql.PublisherConfig{SchemaAdapter: commerce.Outbox{}.WatermillSchema()}, watermill.NopLogger{})
			require.NoError(s.t, err)
			var messages []*message.Message
			for _, e := range events {
				msg := message.NewMessage(watermill.NewUUID(), []byte(e))
				msg.Metadata.Set(event.HeaderTraceparent, trace)
				messages = append(messages, msg)
			}
			return publisher.Publish(commerce.Topic, messages...)
		})
	},
}

// case of the suite: what is published, event after event or together, and whether the one rule of the outbox forbids it.
type doorCase struct {
	together   [][]string
	incomplete bool
	notJSONB   bool // Postgres' own type refuses it
}

func each(events ...string) doorCase {
	c := doorCase{}
	for _, e := range events {
		c.together = append(c.together, []string{e})
	}
	return c
}

func all(events ...string) doorCase { return doorCase{together: [][]string{events}} }

func incomplete(event string) doorCase {
	return doorCase{together: [][]string{{event}}, incomplete: true}
}

func updatedAt(event, clock string) string {
	return replaced(event, `"created_at"`, `"updated_at": "2024-01-15 `+clock+`", "created_at"`)
}

func replaced(event, old, by string) string { return strings.Replace(event, old, by, 1) }

var doorCases = map[string]doorCase{
	"an_invoice":                         each(invoice("e1", "1")),
	"order_placed_updated_then_invoiced": each(placed("e1", "1"), replaced(placed("e2", "1"), "order.placed", "order.updated"), invoiceOf("e3", "1")),
	"the_same_in_one_transaction":        all(placed("e1", "1"), replaced(placed("e2", "1"), "order.placed", "order.updated"), invoiceOf("e3", "1")),
	"a_second_invoice":                   each(invoice("e1", "1"), invoice("e2", "1")),
	"an_event_twice":                     each(invoice("e1", "1"), invoice("e1", "1")),
	"an_event_twice_at_once":             all(invoice("e1", "1"), invoice("e1", "1")),
	"an_id_used_for_another_order":       each(invoice("e1", "1"), invoice("e1", "2")),
	"an_id_used_for_another_type":        each(placed("e1", "1"), invoice("e1", "1")),
	"an_id_used_twice_at_once":           all(invoice("e1", "1"), invoice("e1", "2"), placed("e2", "1")),
	"another_order_under_a_known_number": each(placed("e1", "1"), replaced(invoice("e2", "1"), `"order_id": 123`, `"order_id": 124`)),
	"an_older_state":                     each(updatedAt(placed("e1", "1"), "12:00:00"), updatedAt(invoice("e2", "1"), "11:00:00")),
	"an_older_state_at_once":             all(updatedAt(placed("e1", "1"), "12:00:00"), updatedAt(invoice("e2", "1"), "11:00:00")),
	"two_shops_with_the_same_number":     all(invoice("e1", "1"), replaced(invoice("e1", "1"), `"type"`, `"source": "shop-b", "type"`)),
	"slash_percent_and_quotes":           each(invoice(`e/1%\"`, `A/1%2`)),
	"many_scripts":                       each(replaced(invoice("e1", "1"), "john@", `Ünïcödé-Ελλη-мир-עבר-عرب-漢字-\ud83d\ude00-\u0041@`)),
	"an_amount_with_an_exponent":         each(replaced(invoice("e1", "1"), `"99.99"`, `9.999E1`), replaced(invoice("e1", "1"), `"99.99"`, `99.99`)),
	"fields_nobody_knows":                each(replaced(invoice("e1", "1"), `"type"`, `"x": [1, {"y": null}], "type"`)),
	"totals_that_do_not_add_up":          each(badTotals(invoice("e1", "1"))),
	"amounts_that_are_missing":           each(absentAmounts(invoice("e1", "1"))),
	"a_line_whose_parent_is_missing":     each(replaced(invoice("e1", "1"), `"item_id": 1`, `"item_id": 1, "parent_item_id": 7`)),
	"a_line_without_a_parent":            each(replaced(invoice("e1", "1"), `"item_id": 1`, `"item_id": 1, "parent_item_id": 0`)),
	"a_number_that_nobody_sees":          each(invoice("e1", `1001\u00a0`), invoiceOf("e2", `..`)),
	"a_time_beyond_the_calendar":         each(replaced(invoice("e1", "1"), `"2024-01-15 10:00:00"`, `"9999-12-31T23:59:59-05:00"`)),
	"a_zero_date":                        each(replaced(invoice("e1", "1"), `"2024-01-15 10:00:00"`, `"0000-00-00 00:00:00"`)),
	"an_id_that_a_terminal_obeys":        each(invoice(`e\u001b[2J`, "1")),
	"a_source_of_two_dots":               each(replaced(invoice("e1", "1"), `"type"`, `"source": "..", "type"`)),
	"the_largest_event":                  each(padded(event.MaxEventBytes - 4096)),
	"an_invoice_of_an_unknown_order":     each(invoiceOf("e1", "1")),
	"an_unknown_type":                    each(replaced(placed("e1", "1"), "order.placed", "order.deleted")),
	"a_source_that_is_none":              each(replaced(placed("e1", "1"), `"type"`, `"source": "Shop, B", "type"`)),
	"a_source_that_is_no_text":           each(replaced(placed("e1", "1"), `"type"`, `"source": {"a": 1}, "type"`)),
	"an_id_that_is_a_number":             each(replaced(placed("e1", "1"), `"e1"`, `17`)),
	"an_order_that_is_a_list":            each(`{"event_id": "e1", "type": "order.placed", "order": [1]}`),
	"several_errors":                     each(`{"event_id": "e1", "type": "order.placed", "order": {"order_increment_id": "", "items": [{"qty": "two"}]}}`),
	"one_bad_among_good_ones":            all(invoice("e1", "1"), replaced(placed("e2", "2"), "order.placed", "order.deleted"), invoice("e3", "3")),
	"nested_too_deep":                    each(replaced(placed("e1", "1"), `"type"`, `"x": `+strings.Repeat("[", 70)+strings.Repeat("]", 70)+`, "type"`)),
	"no_id":                              incomplete(replaced(placed("e1", "1"), `"event_id": "e1", `, ``)),
	"an_empty_id":                        incomplete(placed("", "1")),
	"an_id_that_is_null":                 incomplete(replaced(placed("e1", "1"), `"e1"`, `null`)),
	"no_type":                            incomplete(replaced(placed("e1", "1"), `"type": "order.placed", `, ``)),
	"no_order":                           incomplete(`{"event_id": "e1", "type": "invoice.created", "invoice": {"increment_id": "7"}}`),
	"an_order_that_is_null":              incomplete(`{"event_id": "e1", "type": "order.placed", "order": null}`),
	"a_list":                             incomplete(`[]`),
	"a_text":                             incomplete(`"event_id"`),
	"a_nul_character":                    {together: [][]string{{replaced(placed("e1", "1"), "Größe", `a\u0000b`)}}, notJSONB: true},
	"half_a_surrogate":                   {together: [][]string{{replaced(placed("e1", "1"), "Größe", `a\ud83d`)}}, notJSONB: true},
}

// TestDoors: whatever door an event comes through, the same comes out.
func TestDoors(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	cameOut := map[string]map[string][]string{} // by door and case
	t.Run("through", func(t *testing.T) {
		for door := range doors {
			t.Run(door, func(t *testing.T) {
				t.Parallel()
				out := map[string][]string{}
				s := newShop(t)
				for name, c := range doorCases {
					s.empty()
					if door == "sql_function" && c.notJSONB {
						s.requireRefusedByJSONB(c)
						continue
					}
					out[name] = s.through(door, c)
				}
				mu.Lock()
				defer mu.Unlock()
				cameOut[door] = out
			})
		}
	})
	for name, c := range doorCases {
		require.Equal(t, c.incomplete, len(cameOut["http"][name]) == 0, name)
		for door := range doors {
			if door != "sql_function" || !c.notJSONB {
				require.Equal(t, cameOut["http"][name], cameOut[door][name], "%s through %s", name, door)
			}
		}
	}
}

// empty is a connector that nothing was published to yet.
func (s *shop) empty() {
	s.t.Helper()
	_, err := s.pool.Exec(s.t.Context(), `
		DELETE FROM commerce_quarantine; DELETE FROM accepted_event; DELETE FROM sales_order; DELETE FROM erp_sync_gate; DELETE FROM erp_outbox;
		SELECT setval('erp_sync_id_seq', 1, false)`)
	require.NoError(s.t, err)
	s.refused = nil
}

func (s *shop) requireRefusedByJSONB(c doorCase) {
	s.t.Helper()
	var pgErr *pgconn.PgError
	require.ErrorAs(s.t, doors["sql_function"](s, c.together[0]), &pgErr)
	require.Contains(s.t, []string{"22P05", "22P02"}, pgErr.Code)
}

// through publishes a case and tells what came out.
func (s *shop) through(door string, c doorCase) []string {
	s.t.Helper()
	for _, events := range c.together {
		err := doors[door](s, events)
		if c.incomplete && door != "http" {
			requireIncomplete(s.t, door, err)
			require.Equal(s.t, []string{"0"}, s.read(`SELECT count(*)::text FROM commerce_outbox`))
			return s.comesOut()
		}
		require.NoError(s.t, err)
		s.becomes("0", `SELECT count(*)::text FROM commerce_outbox`)
	}
	if c.incomplete {
		s.refused = nil // told to the shop at once
	}
	return s.comesOut()
}

func requireIncomplete(t *testing.T, door string, err error) {
	t.Helper()
	var pgErr *pgconn.PgError
	if door == "sql_function" {
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, "22023", pgErr.Code)
		return
	}
	require.ErrorIs(t, err, commerce.ErrIncomplete)
}

// shop publishes into a connector of its own.
type shop struct {
	t       *testing.T
	pool    *pgxpool.Pool
	db      *sql.DB
	http    http.Handler
	refused []string // over HTTP, as quarantine would have it
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := newUndrainedShop(t)
	s.drain()
	return s
}

func newUndrainedShop(t *testing.T) *shop {
	t.Helper()
	database := testkit.Postgres(t)
	db, err := sql.Open("pgx", database.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return &shop{t: t, pool: database.Pool, db: db, http: serve(t, database.Pool, setting.Defaults())}
}

func asJSON(events []string) []commerce.Event {
	out := make([]commerce.Event, len(events))
	for i, e := range events {
		out[i] = commerce.Event{JSON: json.RawMessage(e), Traceparent: trace}
	}
	return out
}

func (s *shop) inTx(work func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(s.t.Context(), s.pool, work)
}

func (s *shop) inSQLTx(work func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(s.t.Context(), nil)
	require.NoError(s.t, err)
	if err := work(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// post is the HTTP door; what it refuses is kept to be compared with the quarantine.
func (s *shop) post(events []string) error {
	req := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/rest/V1/erpconnector/events", strings.NewReader(batch(events...)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("traceparent", trace)
	w := httptest.NewRecorder()
	s.http.ServeHTTP(w, req)
	var answer struct{ Results []accept.Result }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || !slices.Contains([]int{http.StatusOK, http.StatusMultiStatus, http.StatusUnprocessableEntity}, w.Code) {
		return fmt.Errorf("%d %s", w.Code, w.Body)
	}
	for _, r := range answer.Results {
		if !r.Result.Taken() {
			problems, _ := json.Marshal(r.Errors)
			s.refused = append(s.refused, "refused "+r.EventID+" "+canonical(s.t, problems))
		}
	}
	return nil
}

// drain lets a drainer run until the test ends.
func (s *shop) drain() *drain.Drainer {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	log := slog.New(slog.NewTextHandler(s.t.Output(), nil))
	d := drain.New(s.pool, accept.New(s.pool, setting.Fixed(setting.Defaults()), log), setting.Fixed(setting.Defaults()), log)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		require.NoError(s.t, <-done)
	})
	return d
}

// becomes waits until the query's one value is the wanted one.
func (s *shop) becomes(want, query string, args ...any) {
	s.t.Helper()
	var got []string
	var err error
	require.Eventually(s.t, func() bool {
		got, err = s.tryRead(query, args...)
		return err == nil && len(got) == 1 && got[0] == want
	}, testkit.Patience, 5*time.Millisecond, "want %s from %s", want, query)
}

func (s *shop) read(query string, args ...any) []string {
	s.t.Helper()
	out, err := s.tryRead(query, args...)
	require.NoError(s.t, err)
	return out
}

func (s *shop) tryRead(query string, args ...any) ([]string, error) {
	rows, err := s.pool.Query(s.t.Context(), query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// comesOut is all that the connector keeps and says of what was published, without times and random ids.
func (s *shop) comesOut() (out []string) {
	out = append(out, s.refused...)
	for _, q := range []string{
		`SELECT 'refused ' || coalesce(event_id, '') || ' ' || problems FROM commerce_quarantine WHERE door = 'outbox' ORDER BY id`,
		`SELECT 'event ' || source || ' ' || event_id || ' ' || order_key || ' ' || encode(digest, 'hex') FROM accepted_event ORDER BY source, event_id`,
		`SELECT 'order ' || order_key || ' ' || coalesce(order_id::text, '-') || ' ' || snapshot FROM sales_order ORDER BY order_key`,
		`SELECT 'gate ' || order_key || ' ' || state || ' ' || generation || ' ' || coalesce(idempotency_key, '-') || ' ' || version
			FROM erp_sync_gate WHERE state <> 'none' ORDER BY order_key`,
		`SELECT 'record ' || topic || ' ' || key || ' ' || uuid || ' ' || convert_from(payload, 'UTF8') FROM erp_outbox ORDER BY topic, id`,
		`SELECT 'header ' || topic || ' ' || (metadata::jsonb - 'ce_time' - 'traceparent')::text FROM erp_outbox ORDER BY topic, id`,
	} {
		for _, line := range s.read(q) {
			out = append(out, canonicalTail(s.t, line))
		}
	}
	return out
}

// canonicalTail brings the JSON that ends a line into one form.
func canonicalTail(t *testing.T, line string) string {
	t.Helper()
	at := strings.IndexAny(line, "{[")
	if at < 0 {
		return line
	}
	return line[:at] + canonical(t, []byte(line[at:]))
}

// canonical is JSON with members in order, numbers as fractions, and without the times at which things happened.
func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v), "%s", raw)
	out, err := json.Marshal(plain(v))
	require.NoError(t, err)
	return string(out)
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return r.RatString()
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		if sync, ok := v["sync"].(map[string]any); ok {
			delete(sync, "created_at")
			delete(sync, "updated_at")
		}
		for name := range v {
			v[name] = plain(v[name])
		}
	}
	return v
}
