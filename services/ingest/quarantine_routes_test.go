package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem/problemtest"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// desk is where support works: it posts as a shop, and asks as whoever it is at the moment.
type desk struct {
	*publisher
	as httpapi.Identity
}

var anna = httpapi.Identity{Name: "anna", All: true}

func newDesk(t *testing.T, name string) *desk {
	t.Helper()
	d := &desk{as: anna}
	pool := testkit.Postgres(t).Pool
	handler := serve(t, pool, setting.Defaults())
	d.publisher = &publisher{t: t, pool: pool, Recorder: problemtest.New(t, name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(httpapi.WithIdentity(r.Context(), d.as)))
	}))}
	return d
}

// still stops the clock of what is in the quarantine, for the page.
func (d *desk) still() {
	d.t.Helper()
	_, err := d.pool.Exec(d.t.Context(), `UPDATE commerce_quarantine SET published_at = '2024-01-15T10:30:00Z',
		quarantined_at = '2024-01-15T10:30:00Z'::timestamptz + (tries - 1) * interval '1 min',
		discarded_at = CASE WHEN discarded_at IS NOT NULL THEN '2024-01-16T09:00:00Z'::timestamptz END`)
	require.NoError(d.t, err)
}

func (d *desk) get(path string) {
	d.t.Helper()
	d.still()
	d.Do(problemtest.Request{Method: http.MethodGet, Path: quarantinePath + path})
}

func (d *desk) decide(path, body string) {
	d.t.Helper()
	d.Do(problemtest.Request{Method: http.MethodPost, Path: quarantinePath + path, Header: []string{"Content-Type", "application/json"}, Body: body})
}

var (
	ofOutlet  = func(e string) string { return replaced(e, `"type"`, `"source": "outlet", "type"`) }
	wrongType = func(e string) string { return replaced(e, "invoice.created", "invoice.paid") }
)

// refusals are three events of two shops that are refused, one of them twice, as the shop sends it again as it is.
func (d *desk) refusals() {
	d.t.Helper()
	bad := wrongType(invoice("e-1", "000000123"))
	d.post(bad)
	d.post(batch(bad, replaced(ofOutlet(invoice("e-2", "000000124")), `"qty": "2"`, `"qty": "two"`), invoiceOf("e-3", "000000125")))
}

func TestQuarantineGolden(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(d *desk){
		"quarantine_list": func(d *desk) {
			d.refusals()
			d.get("")
			d.get("/counts")
			d.get("/counts?source=outlet")
			d.Note("by words, page by page")
			d.get("?door=http&source=default&code=refused&order=000000123&event_id=e-1&text=INVOICE.PAID&since=2024-01-15&until=2024-01-16")
			d.get("?limit=1&cursor=1")
			d.get("?door=outbox")
			d.get("?since=2024-01-16")
			d.Note("what cannot be asked")
			d.get("?door=htp&code=refusd&source=Outlet&state=shut&since=today&limit=0&cursor=x&order=")
			d.get("/counts?state=all&source=Outlet")
			d.get("?cod=refused")
		},
		"quarantine_correct_and_send": func(d *desk) {
			d.post(wrongType(invoice("e-1", "000000123")))
			d.get("/1")
			d.Note("who may not manage")
			d.as = httpapi.Identity{Name: "vera", Resources: []httpapi.Resource{httpapi.ResourceViewStatus}}
			d.get("/1")
			d.as = anna
			d.Note("as it is, and with a correction that is none")
			d.decide("/1/send", "")
			d.decide("/1/send", `{"event": {"event_id": "e-1"}}`)
			d.decide("/1/send", `{"event": null}`)
			d.decide("/1/send", `{"evnt": {}}`)
			d.Note("corrected")
			d.decide("/1/send", `{"event": `+invoice("e-1", "000000123")+`}`)
			d.decide("/1/send", `{}`)
			d.get("/1")
			d.get("/99999999999999999999")
			d.outbox()
		},
		"quarantine_in_bulk": func(d *desk) {
			d.refusals()
			d.post(placed("e-4", "000000125"))
			d.decide("/send", `{}`)
			d.decide("/send", `{"source": "", "limit": 501, "cursor": "x", "codes": "refused"}`)
			d.decide("/send", `{"source": "", "limit": 501, "cursor": "x"}`)
			d.Note("a preview")
			d.decide("/send", `{"source": "default", "dry_run": true}`)
			d.decide("/send", `{"source": "default", "limit": 1}`)
			d.decide("/send", `{"source": "default", "cursor": "1"}`)
			d.outbox()
			d.Note("what is left is not needed")
			d.decide("/discard", `{"since": "2024-01-15", "dry_run": true}`)
			d.decide("/discard", `{"since": "2024-01-15"}`)
			d.decide("/discard", `{"since": "2024-01-15", "reason": "tests of the new shop"}`)
			d.get("")
			d.get("?state=discarded")
			d.get("/counts?state=discarded")
			d.decide("/1/discard", `{"reason": "again"}`)
			d.decide("/7/discard", `{"reason": "there is none"}`)
			d.decide("/1/discard", `{"reason": " "}`)
			d.Note("sent again as it is, it stays so; changed, it is open")
			d.post(wrongType(invoice("e-1", "000000123")))
			d.get("/counts")
			d.post(wrongType(replaced(invoice("e-1", "000000123"), "2024", "2025")))
			d.get("")
		},
		"quarantine_for_one_shop": func(d *desk) {
			d.refusals()
			d.as = httpapi.Identity{Name: "olaf", Source: "outlet", Resources: []httpapi.Resource{httpapi.ResourceManage}}
			d.Note("an event of another shop is refused, and is an entry of this one")
			d.post(invoice("e-1", "000000123"))
			d.get("")
			d.get("/counts")
			d.get("?source=default")
			d.get("/counts?source=default")
			d.get("/1")
			d.decide("/1/send", "")
			d.decide("/1/discard", `{"reason": "mine"}`)
			d.decide("/send", `{"source": "default"}`)
			d.decide("/discard", `{"since": "2024-01-01", "reason": "mine"}`)
			d.decide("/5/send", `{"event": `+invoice("e-1", "000000123")+`}`)
			d.as = anna
			d.Note("nor does it come in because somebody sends it who may do all")
			d.decide("/5/send", "")
			d.outbox()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(newDesk(t, name))
		})
	}
}

// posted is the answer to a body that the identity posts.
func posted(t *testing.T, h http.Handler, as httpapi.Identity, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(httpapi.WithIdentity(t.Context(), as), http.MethodPost, httpapi.BasePath+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// What comes of each kind of request: kept once for each event, or not at all.
func TestWhatIsKeptOfARequest(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	s := &shop{t: t, pool: pool}
	bad := wrongType(invoice("e-1", "1"))
	for name, c := range map[string]struct {
		bodies []string
		want   []string // event, tries, whether the body is the last one
	}{
		"no_json":              {[]string{`{"event_id": "e-1"`}, nil},
		"no_json_in_a_batch":   {[]string{`[{"event_id": "e-1"},`}, nil},
		"too_large":            {[]string{padded(event.MaxEventBytes + 1)}, nil},
		"too_large_in_a_batch": {[]string{batch(padded(event.MaxEventBytes+1), bad)}, []string{"e-1 1"}},
		"accepted":             {[]string{placed("e-1", "1"), placed("e-1", "1")}, nil},
		"refused":              {[]string{bad}, []string{"e-1 1"}},
		"repeated":             {[]string{bad, bad, batch(bad, bad), bad}, []string{"e-1 5"}},
		"another_body":         {[]string{bad, wrongType(invoice("e-1", "2"))}, []string{"e-1 2"}},
		"no_id":                {[]string{`{"type": 1}`, `{"type": 1}`, `{"type": 2}`}, []string{"- 1", "- 2"}},
		"no_object":            {[]string{`["x", "x", null]`}, []string{"- 1", "- 2"}},
		"an_id_in_no_shop":     {[]string{replaced(bad, `"type"`, `"source": "Shop B", "type"`), bad}, []string{"e-1 1", "e-1 1"}},
		"two_shops":            {[]string{bad, ofOutlet(bad)}, []string{"e-1 1", "e-1 1"}},
		"a_conflict":           {[]string{placed("e-1", "1"), invoice("e-1", "2")}, []string{"e-1 1"}},
		"accepted_at_last":     {[]string{bad, invoice("e-1", "1")}, nil},
		"accepted_in_a_batch":  {[]string{batch(bad, wrongType(invoice("e-2", "1"))), batch(invoice("e-1", "1"), wrongType(invoice("e-2", "1")))}, []string{"e-2 2"}},
		"a_duplicate":          {[]string{placed("e-1", "1"), invoice("e-1", "2"), placed("e-1", "1")}, []string{"e-1 1"}},
		"of_another_shop":      {[]string{bad, ofOutlet(invoice("e-1", "1"))}, []string{"e-1 1"}},
		"an_early_invoice":     {[]string{invoiceOf("e-1", "1"), placed("e-2", "1")}, []string{"e-1 1"}},
	} {
		s.empty()
		for _, body := range c.bodies {
			posted(t, h, anna, "/events", body)
		}
		require.Equal(t, append([]string{}, c.want...), s.read(`SELECT coalesce(event_id, '-') || ' ' || tries FROM commerce_quarantine WHERE door = 'http' ORDER BY 1`), name)
		require.Equal(t, []string{"0"}, s.read(`SELECT count(*)::text FROM commerce_outbox`), "%s: an invoice of HTTP does not go on by itself", name)
	}
}

// The newest body is kept, and what is known of the order.
func TestTheNewestBodyIsKept(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	s := &shop{t: t, pool: pool}
	for _, order := range []string{"1", "2"} {
		posted(t, h, anna, "/events", wrongType(invoice("e-1", order)))
	}
	require.Equal(t, []string{wrongType(invoice("e-1", "2")) + " 2"}, s.read(`SELECT convert_from(payload, 'UTF8') || ' ' || about_order FROM commerce_quarantine`))
	require.Equal(t, []string{"true"}, s.read(`SELECT (published_at < quarantined_at)::text FROM commerce_quarantine`))
}

// An invoice that was refused as its order was unknown is the shop's to send again, or support's: nothing is accepted of which the shop
// was told that it is not. Its entry of the outbox goes on by itself.
func TestASentInvoiceLeavesOnceItsOrderIsThere(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	post := func(path, body string) (answer map[string]any) {
		t.Helper()
		require.NoError(t, json.Unmarshal(posted(t, h, anna, path, body).Body.Bytes(), &answer))
		return answer
	}
	require.Equal(t, "event_refused", post("/events", invoiceOf("e-1", "1"))["code"])
	require.Equal(t, "accepted", post("/events", placed("e-2", "1"))["result"])
	require.Equal(t, map[string]any{"id": 1.0, "result": "accepted", "event_id": "e-1", "sync_id": 2.0, "source": "default", "order_increment_id": "1", "status": "queued"},
		post("/quarantine/1/send", ""))
}

// Whether the database takes it or not, a shop is told what is wrong.
func TestARefusalIsToldThoughItIsNotKept(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	_, err := pool.Exec(t.Context(), `ALTER TABLE commerce_quarantine ADD CHECK (event_id <> 'poison')`)
	require.NoError(t, err)
	w := posted(t, h, anna, "/events", batch(wrongType(invoice("poison", "1")), placed("e-2", "1")))
	require.Equal(t, http.StatusMultiStatus, w.Code, w.Body)
	require.Contains(t, w.Body.String(), `is \"invoice.paid\"`)
}

// A shop's token with events of another shop makes no entry that looks like that shop's, and covers none of its own.
func TestNobodyMakesEntriesOfAnotherShop(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	s := &shop{t: t, pool: pool}
	olaf := httpapi.Identity{Name: "olaf", Source: "outlet"}
	own := wrongType(invoice("e-1", "1"))
	posted(t, h, anna, "/events", own)
	posted(t, h, olaf, "/events", ofOutlet(own))
	posted(t, h, olaf, "/events", invoice("e-1", "1"))
	posted(t, h, olaf, "/events", own)
	require.Equal(t, []string{"default 1", "outlet -", "outlet -", "outlet outlet/1"},
		s.read(`SELECT source || ' ' || coalesce(about_order, '-') FROM commerce_quarantine ORDER BY 1`))
}

// Requests that are refused at the same time share a statement, and count each other's repetitions.
func TestManyRefusalsAtOnce(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	h := serve(t, pool, setting.Defaults())
	const callers, events = 8, 20
	done := make(chan int, callers)
	for range callers {
		go func() {
			var bodies []string
			for i := range events {
				bodies = append(bodies, wrongType(invoice(fmt.Sprint("e-", i), fmt.Sprint(i))))
			}
			done <- posted(t, h, anna, "/events", batch(bodies...)).Code
		}()
	}
	for range callers {
		require.Equal(t, http.StatusUnprocessableEntity, <-done)
	}
	s := &shop{t: t, pool: pool}
	require.Equal(t, []string{"20 160"}, s.read(`SELECT count(*) || ' ' || sum(tries) FROM commerce_quarantine`))
}
