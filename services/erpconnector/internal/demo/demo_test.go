package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// connector stands in for one, to answer what a real one answers only on bad days.
type connector struct {
	events func(call int, w http.ResponseWriter) // nil: accepted
	status string                                // of every order; empty: success
	noMock bool
	stats  func(call int) mockerp.Stats

	mu     sync.Mutex
	ids    []string // of the events that came
	calls  int      // of stats
	served func()   // after each event
}

func (c *connector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch path := strings.TrimPrefix(r.URL.Path, httpapi.BasePath); {
	case path == "/sync-status/hello":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"status":"not_synced"}`)
	case strings.HasPrefix(path, "/sync-status/") && c.status == "":
		_, _ = io.WriteString(w, `{"status":"success","attempts":1,"erp_reference":"ERP-1"}`)
	case strings.HasPrefix(path, "/sync-status/"):
		_, _ = io.WriteString(w, c.status)
	case path == "/events":
		c.event(w, r)
	case path == "/mockerp/stats" && !c.noMock:
		c.calls++
		var s mockerp.Stats
		if c.stats != nil {
			s = c.stats(c.calls)
		}
		_ = json.NewEncoder(w).Encode(s)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *connector) event(w http.ResponseWriter, r *http.Request) {
	var e struct {
		ID string `json:"event_id"`
	}
	_ = json.NewDecoder(r.Body).Decode(&e)
	c.ids = append(c.ids, e.ID)
	if c.served != nil {
		defer c.served()
	}
	if c.events == nil {
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"result":"accepted"}`)
		return
	}
	c.events(len(c.ids), w)
}

func start(t *testing.T, c *connector) (Options, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	var out bytes.Buffer
	return Options{
		URL: server.URL, Token: "token", TokenFrom: "API_TOKEN", TokenShell: "$API_TOKEN", Self: "erpconnector",
		Seed: 1, Rate: 1000, Orders: 3, Wait: 5 * time.Second, Out: io.MultiWriter(&out, t.Output()),
	}, &out
}

func unavailable(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = io.WriteString(w, `{"code":"database_unavailable","detail":"the database does not answer"}`)
}

func accepted(w http.ResponseWriter) {
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"result":"accepted"}`)
}

// A shop sends the very event again that was not taken, and loses none.
func TestAnEventThatIsNotTakenIsSentAgain(t *testing.T) {
	t.Parallel()
	c := &connector{events: func(call int, w http.ResponseWriter) {
		if call == 2 {
			unavailable(w)
			return
		}
		accepted(w)
	}}
	o, out := start(t, c)
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Equal(t, c.ids[1], c.ids[2])
	require.Equal(t, len(c.ids)-1, report.Published)
	require.Equal(t, report.Published, report.Accepted)
	require.Contains(t, out.String(), "again    not taken: 503, the database does not answer; event "+c.ids[1]+" is sent again in 1s")
}

func TestAnOrderTwiceInTheErpIsAnError(t *testing.T) {
	t.Parallel()
	o, out := start(t, &connector{stats: func(call int) mockerp.Stats { return mockerp.Stats{Calls: call, Bookings: call, Doubles: call} }})
	_, err := Run(t.Context(), o)
	require.ErrorContains(t, err, "1 orders are in the ERP twice")
	require.Contains(t, out.String(), "1 doubles")
}

func TestARealErpIsNotSentInventedOrdersUnasked(t *testing.T) {
	t.Parallel()
	c := &connector{noMock: true}
	o, out := start(t, c)
	_, err := Run(t.Context(), o)
	require.ErrorContains(t, err, "would go to a real ERP")
	require.Empty(t, c.ids)

	o.WithoutMockERP, o.Misbehave = true, 1
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Positive(t, report.Success)
	require.Zero(t, report.Armed)
	require.Contains(t, out.String(), "There is no mock ERP beside the connector")
}

func TestNothingIsAccepted(t *testing.T) {
	t.Parallel()
	o, out := start(t, &connector{events: func(_ int, w http.ResponseWriter) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"detail":"no","errors":[{"pointer":"/order","detail":"is not to our taste"}]}`)
	}})
	report, err := Run(t.Context(), o)
	require.ErrorContains(t, err, "no event was accepted")
	require.Equal(t, report.Published, report.RefusedUnasked)
	require.Contains(t, out.String(), "all that should have been accepted")
	require.Contains(t, out.String(), "/order is not to our taste")
}

func TestWhatCannotBeMendedEndsTheRun(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{401: "does not take the token from API_TOKEN (401 Unauthorized)", 404: "its ingest service does not run there"} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			o, _ := start(t, &connector{events: func(call int, w http.ResponseWriter) {
				if call == 1 {
					accepted(w)
					return
				}
				w.WriteHeader(status)
			}})
			report, err := Run(t.Context(), o)
			require.ErrorContains(t, err, want)
			require.Equal(t, 1, report.Published, "the summary tells what came before")
		})
	}
}

func TestCtrlCEndsWithTheSummary(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &connector{}
	c.served = func() {
		if len(c.ids) == 3 {
			cancel()
		}
	}
	o, out := start(t, c)
	o.Orders = 1000
	report, err := Run(ctx, o)
	require.NoError(t, err)
	require.True(t, report.Stopped)
	require.GreaterOrEqual(t, report.Published, 2)
	require.Contains(t, out.String(), "stopped before the end")
}

func TestOrdersThatAreHeldAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	o, out := start(t, &connector{status: `{"status":"pending"}`})
	o.Wait = time.Hour
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Positive(t, report.Held)
	require.Contains(t, out.String(), "the connector is off (CONNECTOR_ENABLED)")
}

func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	o, out := start(t, &connector{status: `{"status":"in_progress"}`})
	o.Wait = 50 * time.Millisecond
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Positive(t, report.UnderWay)
	require.Contains(t, out.String(), "on the way")
}

// An ERP that gives no reference looks like a status that is ahead of its row; it is asked for only so often.
func TestASuccessWithoutReferenceCounts(t *testing.T) {
	t.Parallel()
	o, _ := start(t, &connector{status: `{"status":"success","attempts":2}`})
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Positive(t, report.Success)
	require.Equal(t, report.Success, report.Retried)
}

// Faults that had not happened by the end are taken back, and a mock ERP that does not take part any more is told of.
func TestTheMockErpIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	c := &connector{stats: func(call int) mockerp.Stats { return mockerp.Stats{Calls: call} }}
	o, out := start(t, c)
	o.Orders, o.Misbehave = 10, 1
	report, err := Run(t.Context(), o) // this one takes no faults
	require.NoError(t, err)
	require.Zero(t, report.Armed)
	require.Contains(t, out.String(), "the mock ERP was not told to misbehave with ")
	require.NotContains(t, out.String(), "could not be taken back")
	require.Equal(t, 1, report.ERP.Calls, "what it counted during the run")

	gone := &connector{stats: func(int) mockerp.Stats { return mockerp.Stats{Calls: 7} }}
	gone.served = func() { gone.noMock = true }
	o, out = start(t, gone)
	report, err = Run(t.Context(), o)
	require.NoError(t, err)
	require.Contains(t, out.String(), "The mock ERP does not tell what it counted: 404")
	require.Zero(t, report.ERP)
}

// A run of events stops at their number, and says what it was asked.
func TestARunOfEvents(t *testing.T) {
	t.Parallel()
	c := &connector{}
	o, out := start(t, c)
	o.Orders, o.Events = 0, 7
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Len(t, c.ids, 7)
	require.Equal(t, 7, report.Published)
	require.False(t, report.Stopped)
	require.Contains(t, out.String(), "Three e-scooter shops publish 7 events in about 0s, up to 1000 events a second")
}
