package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/fx/fxtest"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/gate"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// stateRequests are the rows of docs/states.md: what can be asked of an order, and how.
var stateRequests = []struct {
	name, how string
	ask       func(s *stateProduct, order string) string
}{
	{"new invoice", "`invoice.created` with its order", func(s *stateProduct, o string) string { return s.event(invoice("new-"+o, o)) }},
	{"the same event again", "the order's first event, once more", func(s *stateProduct, o string) string { return s.event(s.first(o)) }},
	{"its id with another order", "the id of the order's first event, in an event of another order", func(s *stateProduct, o string) string {
		return s.event(invoice("first-"+o, o+"-other"))
	}},
	{"another order under its number", "the same increment id, another `order_id`", func(s *stateProduct, o string) string {
		e := invoice("stranger-"+o, o)
		e["order"].(map[string]any)["order_id"] = 8 //nolint:forcetypeassert // a test
		return s.event(e)
	}},
	{"an older state of it", "`order.updated` with an earlier `updated_at`", func(s *stateProduct, o string) string {
		_, err := s.pool.Exec(s.t.Context(), `UPDATE sales_order SET snapshot_at = '2024-01-15 12:00:00Z'`)
		require.NoError(s.t, err)
		e := invoice("older-"+o, o)
		e["type"] = "order.updated"
		e["order"].(map[string]any)["updated_at"] = "2024-01-15 11:00:00" //nolint:forcetypeassert // a test
		return s.event(e)
	}},
	{"invoice with other totals", "another `invoice.created`, the order's totals changed", func(s *stateProduct, o string) string {
		e := invoice("other-"+o, o)
		e["order"].(map[string]any)["totals"].(map[string]any)["grand_total"] = "999.99" //nolint:forcetypeassert // a test
		return s.event(e)
	}},
	{"invoice that names its order", "`invoice.created` without `order`", func(s *stateProduct, o string) string {
		return s.event(map[string]any{"event_id": "named-" + o, "type": "invoice.created", "invoice": map[string]any{"increment_id": "9", "order_increment_id": o}})
	}},
	{"order.placed or order.updated", "either event", func(s *stateProduct, o string) string {
		e := invoice("updated-"+o, o)
		e["type"] = "order.updated"
		return s.event(e)
	}},
	{"sync-order", "`POST sync-order`", func(s *stateProduct, o string) string { return s.post("sync-order", o, nil) }},
	{"resync-order", "`POST resync-order`", func(s *stateProduct, o string) string { return s.post("resync-order", o, nil) }},
	{"resync-order, new key", "`POST resync-order` with `newKey` and `reason`", func(s *stateProduct, o string) string {
		return s.post("resync-order", o, map[string]any{"newKey": true, "reason": "why"})
	}},
	{"cron run", "the schedule, or `erpconnector cron run`", func(s *stateProduct, _ string) string { return s.release(domain.HeldByCron) }},
	{"release of what was held while the connector was off", "the scheduler, by itself", func(s *stateProduct, _ string) string {
		_, err := s.pool.Exec(s.t.Context(), `UPDATE erp_sync_gate SET held_by = 'disabled' WHERE state = 'held'`)
		require.NoError(s.t, err)
		return s.release(domain.HeldByDisabled)
	}},
	{"webhook accepted", "status `accepted` or `success`", func(s *stateProduct, o string) string { return s.webhook(o, "accepted", "ERP-9", "") }},
	{"webhook rejected", "status `rejected` or `failed`", func(s *stateProduct, o string) string { return s.webhook(o, "rejected", "ERP-9", "") }},
	{"webhook, any other status", "like `processing`", func(s *stateProduct, o string) string { return s.webhook(o, "processing", "ERP-9", "") }},
	{"webhook, the same body again", "it came before, and the order was changed since", func(s *stateProduct, o string) string {
		s.cameBefore(o, "accepted", "ERP-9")
		return s.webhook(o, "accepted", "ERP-9", "")
	}},
	{"webhook after a resync, with the key", "`idempotencyKey` is that of generation 2", func(s *stateProduct, o string) string {
		return s.resent(o, func(key string) string { return s.webhook(o, "accepted", "", key) })
	}},
	{"webhook after a resync, a new reference", "no key, an `erpReference` that was never named", func(s *stateProduct, o string) string {
		return s.resent(o, func(string) string { return s.webhook(o, "accepted", "ERP-9", "") })
	}},
	{"webhook after a resync, an old reference", "no key, the `erpReference` of generation 1", func(s *stateProduct, o string) string {
		return s.resent(o, func(string) string { return s.webhook(o, "accepted", "ERP-OLD", "") })
	}},
	{"webhook after a resync, the older key", "`idempotencyKey` is that of generation 1", func(s *stateProduct, o string) string {
		older := domain.IdempotencyKey(domain.OrderRef{Source: domain.DefaultSource, IncrementID: o}, 1)
		return s.resent(o, func(string) string { return s.webhook(o, "accepted", "ERP-9", older) })
	}},
	{"webhook after a resync, neither", "no key and no reference", func(s *stateProduct, o string) string {
		return s.resent(o, func(string) string { return s.webhook(o, "rejected", "", "") })
	}},
	{"cancel", "`POST cancel-order` with `reason`", func(s *stateProduct, o string) string {
		return s.post("cancel-order", o, map[string]any{"reason": "why"})
	}},
	{"settle by hand", "`POST settle-order` with `reason`, `erpReference`", func(s *stateProduct, o string) string {
		return s.post("settle-order", o, map[string]any{"reason": "why", "erpReference": "ERP-9"})
	}},
	{"send now", "`POST send-order-now` with `reason`", func(s *stateProduct, o string) string {
		return s.post("send-order-now", o, map[string]any{"reason": "why"})
	}},
}

// stateColumns are the columns: where the order stands.
var stateColumns = append(append([]domain.OrderState{}, domain.OrderStates...), "connector_off")

// stateProduct is ingest and the API on a database, without anything that takes what they write: so an order stays
// where it was put.
type stateProduct struct {
	*product
	pool   *pgxpool.Pool
	orders *orders.Orders
}

func startStates(t *testing.T, change func(*setting.Settings)) *stateProduct {
	t.Helper()
	database := testkit.Postgres(t)
	s := setting.Defaults()
	change(&s)
	cfg := config.Config{DatabaseURL: database.URL, HTTP: config.HTTP{Addr: freeAddr(t), Token: "token"}, ERP: config.ERP{HMAC: "secret"}, Settings: s}
	running := fxtest.New(t, app.Options(cfg, slog.New(slog.DiscardHandler), "ingest", "api"))
	running.RequireStart()
	t.Cleanup(running.RequireStop)
	return &stateProduct{
		product: &product{t: t, cfg: cfg, base: "http://" + cfg.HTTP.Addr}, pool: database.Pool, orders: orders.New(database.Pool, setting.Fixed(s)),
	}
}

// TestStates asks everything of an order in each state and compares the answer, what is written and which events
// follow with docs/states.md, cell by cell. -update rewrites the page: read what changed in it.
func TestStates(t *testing.T) {
	t.Parallel()
	cells := map[string]string{}
	on := startStates(t, func(s *setting.Settings) {})
	off := startStates(t, func(s *setting.Settings) { s.Enabled = false })
	for _, r := range stateRequests {
		for _, column := range stateColumns {
			name := r.name + "/" + string(column)
			t.Run(name, func(t *testing.T) {
				s := on
				if column == "connector_off" {
					s = off
				}
				cells[name] = s.cell(t, r.ask, column)
				if !*update {
					require.Equal(t, documentedCell(t, r.name, column), cells[name])
				}
			})
		}
	}
	if *update {
		require.NoError(t, os.WriteFile(repository+"/docs/states.md", []byte(statesPage(cells)), 0o600))
	}
}

func (s *stateProduct) cell(t *testing.T, ask func(*stateProduct, string) string, column domain.OrderState) string {
	t.Helper()
	s.t = t
	_, err := s.pool.Exec(t.Context(), `DELETE FROM erp_outbox; DELETE FROM vendor_erp_sync; DELETE FROM erp_sync_gate; DELETE FROM sales_order; DELETE FROM accepted_event;
		DELETE FROM erp_callback; DELETE FROM erp_reference`)
	require.NoError(t, err)
	s.put(t, "1", column)
	_, err = s.pool.Exec(t.Context(), `DELETE FROM erp_outbox`)
	require.NoError(t, err)
	answer := ask(s, "1")
	facts := s.facts(t)
	if facts == "" {
		return answer
	}
	return answer + factsAfter + facts
}

// put brings an order to where it shall stand: by its first event, and by what the chain and the projector would write.
func (s *stateProduct) put(t *testing.T, order string, at domain.OrderState) {
	t.Helper()
	if at == domain.StateUnknown {
		return
	}
	first := invoice("first-"+order, order)
	if at == domain.StateKnown {
		first["type"] = "order.placed"
	}
	status, answer := s.publish(first)
	require.Equal(t, http.StatusAccepted, status, "%v", answer)
	if at == domain.StateKnown || at == "connector_off" {
		return
	}
	ctx := t.Context()
	require.NoError(t, pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		gates, err := gate.LockKnown(ctx, tx, []string{order})
		if err != nil {
			return err
		}
		g := gates[order]
		r := rowAt(&g, at)
		if err := gate.Save(ctx, tx, []domain.Gate{g}); err != nil || r.status == "" {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, next_attempt_at, erp_reference, idempotency_key,
				created_at, updated_at, source, generation, attempt_version, attempt_version_at, version, version_at)
			VALUES ($1, $2, $3, $4, 5, $5, $6, $7, now(), now(), 'default', 1, $8, now(), $8, now())`,
			g.SyncID, order, r.status, r.attempts, r.next, r.reference, g.IdempotencyKey, r.version)
		return err
	}))
}

type stateRow struct {
	status    domain.Status
	attempts  int
	next      *time.Time
	reference *string
	version   domain.Version
}

// rowAt is the projection's row of an order that stands there, and changes the gate to it.
func rowAt(g *domain.Gate, at domain.OrderState) stateRow {
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	switch at {
	case domain.StatePending:
		g.State, g.HeldBy = domain.GateHeld, domain.HeldByCron
		return stateRow{status: domain.Pending, version: domain.RequestVersion(1, 0)}
	case domain.StateWaiting:
		return stateRow{domain.Queued, 1, &soon, nil, domain.AttemptVersion(1, 1, domain.PhaseAfter)}
	case domain.StateInFlight:
		return stateRow{domain.InProgress, 1, &past, nil, domain.AttemptVersion(1, 2, domain.PhaseBefore)}
	case domain.StateSuccess:
		g.State, g.ClosedBy, g.KeyAnswered = domain.GateClosed, domain.ClosedByAnswer, true
		return stateRow{domain.Success, 1, nil, new("ERP-1"), domain.AttemptVersion(1, 1, domain.PhaseTerminal)}
	case domain.StateFailed:
		g.State, g.ClosedBy = domain.GateClosed, domain.ClosedByFailure
		return stateRow{domain.Failed, 5, nil, nil, domain.AttemptVersion(1, 5, domain.PhaseTerminal)}
	case "dead_lettered":
		*g, _ = g.SetAside(domain.DeadLetter{Version: domain.AttemptVersion(1, 5, domain.PhaseAfter)}, 0, time.Now())
		return stateRow{domain.Failed, 5, nil, nil, g.Version}
	default:
		return stateRow{}
	}
}

func (s *stateProduct) event(e map[string]any) string {
	status, answer := s.publish(e)
	if code, refused := answer["code"]; refused {
		return fmt.Sprintf("%d `%s`", status, code)
	}
	told := fmt.Sprintf("%d `%s`", status, answer["result"])
	for _, member := range []string{"older", "already_requested"} {
		if answer[member] == true {
			told += ", `" + member + "`"
		}
	}
	return fmt.Sprintf("%s, %s", told, answer["status"])
}

// first is the event that put the order where it stands: an invoice, or order.placed of one that was never invoiced.
func (s *stateProduct) first(order string) map[string]any {
	e := invoice("first-"+order, order)
	if s.count(`SELECT count(*) FROM accepted_event WHERE type = 'order.placed'`) > 0 {
		e["type"] = "order.placed"
	}
	return e
}

func (s *stateProduct) post(path, order string, more map[string]any) string {
	body := map[string]any{"orderIncrementId": order}
	for name, value := range more {
		body[name] = value
	}
	status, answer := s.do(http.MethodPost, httpapi.BasePath+"/"+path+"?wait=0", body)
	if code, refused := answer["code"]; refused {
		return fmt.Sprintf("%d `%s`", status, code)
	}
	return fmt.Sprintf("%d %s", status, answer["status"])
}

func callbackBody(order, verdict, reference, key string) []byte {
	said := map[string]any{"orderIncrementId": order, "status": verdict}
	if reference != "" {
		said["erpReference"] = reference
	}
	if key != "" {
		said["idempotencyKey"] = key
	}
	body, _ := json.Marshal(said)
	return body
}

func (s *stateProduct) webhook(order, verdict, reference, key string) string {
	status, answer := s.deliver(string(callbackBody(order, verdict, reference, key)), byModule)
	if code, refused := answer["code"]; refused {
		return fmt.Sprintf("%d `%s`", status, code)
	}
	if answer["changed"] == true {
		return fmt.Sprintf("%d, settled", status)
	}
	return fmt.Sprintf("%d, nothing changes (`%s`)", status, answer["reason"])
}

// cameBefore remembers the callback as one of the order's generation.
func (s *stateProduct) cameBefore(order, verdict, reference string) {
	said := gate.Callback{Key: order, Body: sha256.Sum256(callbackBody(order, verdict, reference, "")), Reference: &reference}
	require.NoError(s.t, pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error { return gate.Keep(s.t.Context(), tx, said, 1, 1, time.Now()) }))
}

// resent makes what was put generation 2, under a key of its own, after a generation 1 that the ERP called ERP-OLD; what is
// held has no generation before it.
func (s *stateProduct) resent(order string, ask func(key string) string) string {
	key := domain.IdempotencyKey(domain.OrderRef{Source: domain.DefaultSource, IncrementID: order}, 2)
	tag, err := s.pool.Exec(s.t.Context(), `UPDATE erp_sync_gate SET generation = 2, key_number = 2, idempotency_key = $1, version = version + (1 << 28)
		WHERE state IN ('open', 'closed')`, key)
	require.NoError(s.t, err)
	if tag.RowsAffected() == 0 && s.count(`SELECT count(*) FROM erp_sync_gate WHERE state = 'held'`) > 0 && s.cfg.Settings.Enabled {
		return "cannot be"
	}
	_, err = s.pool.Exec(s.t.Context(), `UPDATE vendor_erp_sync SET generation = 2, version = version + (1 << 28), attempt_version = attempt_version + (1 << 28)`)
	require.NoError(s.t, err)
	said := gate.Callback{Key: order, Body: sha256.Sum256([]byte("the first")), Reference: new("ERP-OLD")}
	require.NoError(s.t, pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error { return gate.Keep(s.t.Context(), tx, said, 1, 1, time.Now()) }))
	return ask(key)
}

func (s *stateProduct) release(by domain.HeldBy) string {
	n, err := s.orders.Release(s.t.Context(), orders.Releasing{HeldBy: by, Limit: 100, Cause: "cron"})
	switch {
	case err != nil:
		return "nothing: " + err.Error()
	case n == 0:
		return "nothing"
	default:
		return "released"
	}
}

// facts is what was written to the outbox, in words.
func (s *stateProduct) facts(t *testing.T) string {
	t.Helper()
	rows, err := s.pool.Query(t.Context(), `SELECT topic, convert_from(payload, 'UTF8') FROM erp_outbox ORDER BY id`)
	require.NoError(t, err)
	var out []string
	var topic, payload string
	_, err = pgx.ForEachRow(rows, []any{&topic, &payload}, func() error {
		if topic == event.TopicSalesOrder {
			out = append(out, "event")
			return nil
		}
		v, err := event.DecodeSync([]byte(payload))
		if err != nil {
			return err
		}
		out = append(out, factInWords(topic, v.Sync))
		return nil
	})
	require.NoError(t, err)
	return strings.Join(out, ", ")
}

func factInWords(topic string, s domain.Sync) string {
	name := strings.TrimPrefix(topic, "vendor_erp_sync_")
	if topic == event.TopicCallback && s.Version.Class() == domain.ClassRequest {
		return "note"
	}
	words := fmt.Sprintf("%s %s, generation %d", name, s.Status, s.Generation)
	if topic == event.TopicRequested && s.IdempotencyKey != domain.IdempotencyKey(s.Ref(), 1) {
		words += ", new key"
	}
	return words
}
