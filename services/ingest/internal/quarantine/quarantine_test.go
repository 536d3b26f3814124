package quarantine

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

var published = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

// room is a quarantine of its own, and what accepts its entries.
type room struct {
	t        *testing.T
	pool     *pgxpool.Pool
	accepter *accept.Accepter
}

func setup(t *testing.T) room {
	t.Helper()
	pool := testkit.Postgres(t).Pool
	return room{t, pool, accept.New(pool, setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler))}
}

func placed(eventID, order string) string {
	return fmt.Sprintf(`{"event_id": %q, "type": "order.placed", "order": {"order_increment_id": %q, "currency": "EUR",
		"items": [{"sku": "A", "name": "A", "qty": 1, "price": 1, "row_total": 1}],
		"totals": {"subtotal": 1, "tax": 0, "shipping": 0, "discount": 0, "grand_total": 1}}}`, eventID, order)
}

func bad(eventID string) string {
	return strings.Replace(placed(eventID, "1"), "order.placed", "order.deleted", 1)
}

// add puts events in as refused ones, and returns the ids of all entries.
func (r room) add(payloads ...string) (ids []int64) {
	r.t.Helper()
	var entries []Entry
	for _, p := range payloads {
		entries = append(entries, Entry{
			Source: "default", EventID: "old", Code: Refused, Problems: []problem.FieldError{{Pointer: "/type", Code: "invalid", Detail: "old"}},
			Traceparent: trace, Payload: []byte(p), PublishedAt: published,
		})
	}
	require.NoError(r.t, pgx.BeginFunc(r.t.Context(), r.pool, func(tx pgx.Tx) error { return Add(r.t.Context(), tx, entries) }))
	for _, e := range r.list(Filter{}) {
		ids = append(ids, e.ID)
	}
	return ids
}

func (r room) list(f Filter) []Entry {
	r.t.Helper()
	page, err := List(r.t.Context(), r.pool, f)
	require.NoError(r.t, err)
	return page.Entries
}

func (r room) sender() Sender { return Sender{Pool: r.pool, Accepter: r.accepter} }

func (r room) send(ids ...int64) []Sent {
	r.t.Helper()
	sent, err := r.sender().Send(r.t.Context(), ids)
	require.NoError(r.t, err)
	return sent
}

func TestAddKeepsEachFieldAndTheOrder(t *testing.T) {
	t.Parallel()
	r := setup(t)
	why := []problem.FieldError{{Pointer: "/order", Code: "invalid", Detail: `a "reason", <b>`}}
	want := []Entry{
		{Source: "outlet", EventID: "e,1", AboutOrder: "outlet/9", Code: Refused, Problems: why, Traceparent: trace, Payload: []byte("\x00\xff"), PublishedAt: published},
		{Source: "default", Code: TooLarge, Problems: []problem.FieldError{SizeError()}, Payload: []byte("{}"), PublishedAt: published.Add(time.Hour)},
		{Source: "default", EventID: "e3", OrderKey: "outlet/1", Code: UnknownOrder, Problems: why, Payload: []byte{}, PublishedAt: published},
		{Source: "default", Code: Failed, Problems: why, Payload: []byte{}, PublishedAt: published},
		{Source: "default", Code: Conflict, Problems: why, Payload: []byte{}, PublishedAt: published},
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), r.pool, func(tx pgx.Tx) error {
		require.NoError(t, Add(t.Context(), tx, nil))
		return Add(t.Context(), tx, want)
	}))
	listed := r.list(Filter{})
	require.Len(t, listed, len(want))
	for i, e := range want {
		e.ID, e.Bytes, e.Tries, e.Door, e.State = int64(i+1), len(e.Payload), 1, Outbox, Open
		got, err := Get(t.Context(), r.pool, e.ID, "", 1<<20)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), got.QuarantinedAt, testkit.Patience)
		require.True(t, e.PublishedAt.Equal(got.PublishedAt))
		e.PublishedAt, e.QuarantinedAt = got.PublishedAt, got.QuarantinedAt
		require.Equal(t, e, got)
		e.Payload = nil
		require.Equal(t, e, listed[i], "a list has no payloads")
	}
	counts, err := Counts(t.Context(), r.pool, Open, "")
	require.NoError(t, err)
	require.Equal(t, []Counted{{Outbox, Conflict, 1}, {Outbox, Failed, 1}, {Outbox, Refused, 1}, {Outbox, TooLarge, 1}, {Outbox, UnknownOrder, 1}}, counts)
	codes := []Code{}
	for _, code := range Codes {
		codes = append(codes, r.list(Filter{Code: code})[0].Code)
	}
	require.Equal(t, Codes, codes, "the table takes each code")
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ids := r.add(bad("a"), bad("b"), bad("c"))
	for _, c := range []struct {
		filter Filter
		want   []int64
	}{
		{Filter{}, ids},
		{Filter{Limit: 2}, ids[:2]},
		{Filter{After: ids[0]}, ids[1:]},
		{Filter{After: ids[0], Limit: 1}, ids[1:2]},
		{Filter{Source: "default", Code: Refused}, ids},
		{Filter{Source: "outlet"}, nil},
		{Filter{Code: Failed}, nil},
	} {
		var got []int64
		for _, e := range r.list(c.filter) {
			got = append(got, e.ID)
		}
		require.Equal(t, c.want, got, "%+v", c.filter)
	}
	_, err := Get(t.Context(), r.pool, 99, "", 1<<20)
	require.ErrorIs(t, err, ErrNotThere)
	require.EqualError(t, err, "99: there is no such entry in the quarantine; it may have been sent already")
}

// What is accepted leaves in the transaction that accepts it. The rest stays, with the new reason and one try more.
func TestSendLetsGoWhatIsAcceptedAndKeepsTheRest(t *testing.T) {
	t.Parallel()
	r := setup(t)
	large := strings.Repeat(" ", event.MaxEventBytes+1)
	ids := r.add(placed("good", "1"), bad("bad"), placed("good", "1"), large)
	sent := r.send(append(ids, 99)...)
	require.Len(t, sent, 4, "an id that is not there is left out")
	for i, want := range []accept.Verdict{accept.Accepted, accept.Refused, accept.Duplicate, accept.Refused} {
		require.Equal(t, ids[i], sent[i].ID)
		require.Equal(t, want, sent[i].Result.Result)
	}
	left := r.list(Filter{})
	require.Len(t, left, 2)
	require.Equal(t, []any{ids[1], "bad", Refused, 2}, []any{left[0].ID, left[0].EventID, left[0].Code, left[0].Tries})
	require.NotEqual(t, "old", left[0].Problems[0].Detail)
	require.Equal(t, []any{ids[3], "old", TooLarge, 2}, []any{left[1].ID, left[1].EventID, left[1].Code, left[1].Tries})
	require.Equal(t, []problem.FieldError{SizeError()}, left[1].Problems)
}

// The database refuses one of many: halving finds it, and the others are accepted.
func TestSendFindsTheEntryThatTheDatabaseRefuses(t *testing.T) {
	t.Parallel()
	r := setup(t)
	_, err := r.pool.Exec(t.Context(), `ALTER TABLE sales_order ADD CHECK (increment_id <> '3')`)
	require.NoError(t, err)
	var events []string
	for i := range 7 {
		events = append(events, placed(fmt.Sprint("e", i), fmt.Sprint(i)))
	}
	ids := r.add(events...)
	sent := r.send(ids...)
	require.Len(t, sent, len(ids))
	for i, s := range sent {
		require.Equal(t, ids[i], s.ID)
		require.Equal(t, i != 3, s.Result.Result.Taken())
	}
	left := r.list(Filter{})
	require.Len(t, left, 1)
	require.Equal(t, []any{ids[3], Failed, 2}, []any{left[0].ID, left[0].Code, left[0].Tries})
	require.Contains(t, left[0].Problems[0].Detail, "sales_order_increment_id_check")
}

// An entry that another operator is sending is left out: waiting for it could be a deadlock.
func TestSendPassesOverWhatSomebodyHolds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ids := r.add(placed("e1", "1"), placed("e2", "2"))
	holder, err := r.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = holder.Exec(t.Context(), `SELECT FROM commerce_quarantine WHERE id = $1 FOR UPDATE`, ids[0])
	require.NoError(t, err)
	sent := r.send(ids...)
	require.Len(t, sent, 1)
	require.Equal(t, ids[1], sent[0].ID)
	require.NoError(t, holder.Rollback(t.Context()))
	require.Equal(t, accept.Accepted, r.send(ids...)[0].Result.Result)
	require.Empty(t, r.list(Filter{}))
	require.Empty(t, r.send(ids...), "sent before")
}

// More than one transaction's worth goes in several.
func TestSendTakesMoreThanFitsIntoOneTransaction(t *testing.T) {
	t.Parallel()
	r := setup(t)
	events := make([]string, sendAtOnce+1)
	for i := range events {
		events[i] = placed(fmt.Sprint("e", i), fmt.Sprint(i))
	}
	require.Len(t, r.send(r.add(events...)...), len(events))
	require.Empty(t, r.list(Filter{}))
}

// A correction takes the entry's place only when it is accepted.
func TestSendCorrected(t *testing.T) {
	t.Parallel()
	r := setup(t)
	id := r.add(bad("e1"))[0]
	sent, err := r.sender().SendCorrected(t.Context(), id, []byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, accept.Refused, sent.Result.Result)
	kept, err := Get(t.Context(), r.pool, id, "", 1<<20)
	require.NoError(t, err)
	require.Equal(t, []any{bad("e1"), 1, "old"}, []any{string(kept.Payload), kept.Tries, kept.EventID}, "a bad correction changes nothing")
	sent, err = r.sender().SendCorrected(t.Context(), id, []byte(placed("e1", "1")))
	require.NoError(t, err)
	require.Equal(t, accept.Accepted, sent.Result.Result)
	require.Empty(t, r.list(Filter{}))
	var traced bool
	require.NoError(t, r.pool.QueryRow(t.Context(), `SELECT bool_and(metadata::text LIKE '%0af7651916cd43dd8448eb211c80319c%') FROM erp_outbox`).Scan(&traced))
	require.True(t, traced, "the correction goes on in the entry's trace")
	_, err = r.sender().SendCorrected(t.Context(), id, []byte(placed("e1", "1")))
	require.ErrorIs(t, err, ErrNotThere)
}

// A database that does not answer is an error, and no reason to keep: nothing has changed.
func TestErrorsOfTheDatabaseAreReturned(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ids := r.add(placed("e1", "1"))
	r.pool.Close()
	_, err := r.sender().Send(t.Context(), ids)
	require.ErrorContains(t, err, "sending 1 quarantined events")
	_, err = r.sender().SendCorrected(t.Context(), ids[0], nil)
	require.ErrorContains(t, err, "sending a correction of entry 1")
	_, err = List(t.Context(), r.pool, Filter{})
	require.ErrorContains(t, err, "listing the quarantine")
	_, err = Get(t.Context(), r.pool, ids[0], "", 1<<20)
	require.ErrorContains(t, err, "reading entry 1 of the quarantine")
}
