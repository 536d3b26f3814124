package cli

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// streams serves one stream after another, and notes after which event each was asked to go on.
type streams struct {
	bodies []string
	after  []string
	n      atomic.Int32
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := int(s.n.Add(1)) - 1
	s.after = append(s.after, r.Header.Get("Last-Event-ID")+"?"+r.URL.RawQuery)
	if n >= len(s.bodies) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"status": 401, "code": "unauthorized", "detail": "no"}`)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, s.bodies[n])
}

func TestTailGoesOnAfterTheLastEvent(t *testing.T) {
	t.Parallel()
	s := &streams{bodies: []string{
		"retry: 3000\nid: a\n\nevent: vendor_erp_sync_failed\nid: b\ndata: {\"source\":\"default\",\"order_increment_id\":\"7\",\"occurred_at\":\"2024-01-15 10:30:02\"," +
			"\"type\":\"vendor_erp_sync_failed\",\"http_status\":422,\"error\":\"no \\u001b sku\"}\n\n: heartbeat\nid: c\n\n" +
			"event: cut\ndata: {\"reason\":\"stopping\"}\n\nevent: vendor_erp_sync_success\nid: d\ndata: {\"source\":\"def", // broken off: it is not an event yet
		"event: gap\nid: e\ndata: {\"reason\":\"too_old\"}\n\n",
	}}
	server := httptest.NewServer(s)
	defer server.Close()
	c, at, err := (&remote{url: server.URL}).client(WithEnvironment(t.Context(), variables{"API_TOKEN": "secret"}.lookup))
	require.NoError(t, err)
	var out, stderr bytes.Buffer
	f := &tail{c: c, t: at, query: url.Values{"type": {"failed"}}, out: &out, err: &stderr}
	require.ErrorContains(t, f.run(t.Context()), "refuses the token")
	require.Equal(t, "10:30:02  default  7  failed      422 no \\x1b sku\n", out.String())
	require.Equal(t, "the connector ends the stream (stopping)\nthe stream was cut off; going on after the last event\n"+
		"events are missing here (too_old): erpconnector list --updated-since 1h shows what has changed\nthe stream was cut off; going on after the last event\n", stderr.String())
	require.Equal(t, []string{"?type=failed", "c?type=failed", "e?type=failed"}, s.after)
}

func TestTailPrintsEventsAsTheyAre(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	f := &tail{out: &out, raw: true}
	require.NoError(t, f.event("vendor_erp_sync_success", `{"any": "member"}`))
	require.NoError(t, f.event("", ""))
	require.Equal(t, []string{`{"any": "member"}`, ""}, strings.Split(out.String(), "\n"))
	require.ErrorContains(t, f.event("x", "{"), "cannot be read")
}

// Who pipes into `head` must not keep a command that prints to nobody.
func TestTailEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(&streams{bodies: []string{"data: {}\n\n"}})
	defer server.Close()
	cmd := tailCommand()
	cmd.SetArgs([]string{"--url", server.URL, "-o", "ndjson"})
	cmd.SetOut(&fullDisk{})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	require.ErrorIs(t, cmd.ExecuteContext(WithEnvironment(context.Background(), variables{"API_TOKEN": "secret"}.lookup)), errDiskFull)
}
