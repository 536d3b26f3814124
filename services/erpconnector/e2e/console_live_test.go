package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const (
	streamed = `document.querySelectorAll('main tbody tr').length`
	isLive   = `document.querySelector('main .badge.good')?.innerText === 'Live'`
)

// hop stands before a product, as a proxy does that may end what goes through it.
type hop struct {
	*httptest.Server

	instead atomic.Pointer[http.HandlerFunc] // answers the stream, when there is one
	last    atomic.Value                     // the Last-Event-ID of the newest stream
	open    atomic.Int32                     // streams
}

func hopTo(t *testing.T, p *product) *hop {
	t.Helper()
	to, err := url.Parse(p.base)
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host }, FlushInterval: -1}
	h := &hop{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events/stream") {
			h.last.Store(r.Header.Get("Last-Event-ID"))
			h.open.Add(1)
			defer h.open.Add(-1)
			if instead := h.instead.Load(); instead != nil {
				(*instead)(w, r)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { h.CloseClientConnections(); h.Close() })
	return h
}

// sends answers the streams from now on with these facts of one order, and then stays silent.
func (h *hop) sends(n int, more string) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			_, _ = fmt.Fprintf(w, "event: vendor_erp_sync_success\nid: id-%d\ndata: {\"sync_id\":%d,\"source\":\"default\",\"order_increment_id\":\"%09d\","+
				"\"occurred_at\":\"2026-01-15T10:00:00.000Z\",\"type\":\"vendor_erp_sync_success\",\"status\":\"success\",\"attempts\":1,\"max_attempts\":3}\n\n", i, i, i)
		}
		_, _ = io.WriteString(w, more)
		_ = http.NewResponseController(w).Flush()
		if !strings.Contains(more, "event: cut") {
			<-r.Context().Done()
		}
	})
	h.instead.Store(&answer)
}

func (p *product) sends(orders ...string) {
	p.t.Helper()
	for _, order := range orders {
		status, answer := p.publish(invoice("evt-"+order, order))
		require.Equal(p.t, http.StatusAccepted, status, answer)
		p.becomes(order, ended("success"))
	}
}

// showsAll waits until the page has each fact of the first so many syncs, once.
func (p *product) showsAll(b *browser, syncs int) {
	p.t.Helper()
	var said string
	testkit.Eventually(p.t, func() bool {
		facts := 0
		for id := range syncs {
			_, answer := p.do(http.MethodGet, fmt.Sprintf("%s/syncs/%d/events", httpapi.BasePath, id+1), nil)
			events, _ := answer["events"].([]any)
			facts += len(events)
		}
		shown := evaluate[int](b, streamed)
		said = fmt.Sprintf("%d rows of %d facts of %d orders", shown, facts, syncs)
		return shown == facts && facts >= 4*syncs
	}, "%s", lazily(func() string { return said }))
}

// Each fact is a row that leads to its order; a filter leaves rows out; what comes during a pause is counted, and shown after it.
func TestTheLiveTail(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console/live")
	b.signIn("token")
	b.reads("Nothing has happened since this page was opened.")
	b.isAccessible("an empty live tail")
	b.until(isLive)
	p.sends("000000123")
	p.showsAll(b, 1)
	b.reads("Answer of the ERP")
	b.isAccessible("a live tail")

	b.clickOn("#types label", "Success")
	b.until(`location.hash === '#type=success'`)
	b.reads("Nothing of this kind has happened since.")
	b.until(isLive)
	p.sends("000000124")
	b.until(streamed + ` === 1`)
	b.press("p")
	b.reads("Resume")
	p.sends("000000125", "000000126")
	b.reads("Resume, 2 new")
	require.Equal(t, 1, evaluate[int](b, streamed))
	b.clickOn("main button", "Resume")
	b.until(streamed + ` === 3`)
	require.Equal(t, "000000126", evaluate[string](b, `document.querySelector('[data-sync]').innerText`), "the newest stands first")
	b.clickOn("[data-sync]", "000000126")
	b.reads("Order 000000126")
	b.clean()
}

// After a cut nothing is missing, and nothing comes twice; a page that nobody looks at holds no stream.
func TestTheLiveTailGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	h := hopTo(t, p)
	b := browse(t, h.URL)
	b.open("/console/live")
	b.signIn("token")
	b.until(isLive)
	p.sends("000000123")
	p.showsAll(b, 1)
	h.CloseClientConnections()
	b.reads("The connection was cut.")
	p.sends("000000124")
	b.until(isLive)
	p.showsAll(b, 2)
	require.NotEmpty(t, h.last.Load())
	require.NotContains(t, evaluate[string](b, `document.body.innerText`), "The connection was cut.")

	look := func(hidden bool) {
		evaluate[any](b, fmt.Sprintf(`Object.defineProperty(document, 'hidden', {value: %t, configurable: true}); document.dispatchEvent(new Event('visibilitychange')); null`, hidden))
	}
	look(true)
	testkit.Eventually(t, func() bool { return h.open.Load() == 0 }, "a hidden page has a stream")
	p.sends("000000125")
	look(false)
	p.showsAll(b, 3)
	b.clean()
}

// A page that is open for days stays small, and what the stream says of itself is said in a sentence.
func TestTheLiveTailIsBoundedAndSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	h := hopTo(t, p)
	b := browse(t, h.URL)
	h.sends(700, "")
	b.open("/console/live")
	b.signIn("token")
	b.until(streamed + ` === 500`)
	require.Equal(t, "000000699", evaluate[string](b, `document.querySelector('[data-sync]').innerText`))

	for more, says := range map[string]string{
		"event: gap\nid: a\ndata: {\"reason\":\"too_old\",\"detail\":\"\"}\n\n":                     "Some events are missing here; Orders has all.",
		"event: cut\ndata: {\"reason\":\"log_unavailable\"}\n\n":                                    "Kafka cannot be read at the moment.",
		"event: cut\ndata: {\"reason\":\"of a later release\",\"detail\":\"the moon is full\"}\n\n": "the moon is full",
	} {
		h.sends(0, more)
		b.open("/console/live")
		b.reads(says)
	}
	refuse := func(status int, code, detail string) {
		answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"code":%q,"detail":%q}`, code, detail)
		})
		h.instead.Store(&answer)
	}
	refuse(http.StatusServiceUnavailable, "too_many_streams", "this process has 100 streams open, and takes no more")
	b.open("/console/live")
	b.reads("this process has 100 streams open, and takes no more")
	b.isAccessible("a stream that is refused")
	h.instead.Store(nil)
	b.open("/console/live#type=nonsense")
	b.reads(`has "nonsense", which is no type of an event`)
	b.clean()

	status, made := p.do(http.MethodPost, httpapi.BasePath+"/tokens", map[string]any{"name": "shop", "resources": []string{"Escooter_ErpConnector::publish"}})
	require.Equal(t, http.StatusCreated, status, made)
	other := browse(t, p.base)
	other.open("/console/live")
	other.signIn(fmt.Sprint(made["token"]))
	other.reads("view_status")
	other.clean()
}
