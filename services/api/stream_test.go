package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/api/internal/stream"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// streams is a server of the stream, and a broker with facts.
type streams struct {
	t      *testing.T
	cfg    kafka.Config
	client *kgo.Client
	server *httpapi.Server
	base   string
	served chan error

	revoked atomic.Bool
}

// shopTokens knows tokens that are for the shop of their name.
type shopTokens struct{ revoked *atomic.Bool }

func (s shopTokens) Identify(_ context.Context, token string) (httpapi.Identity, error) {
	if s.revoked.Load() {
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	return httpapi.Identity{Name: token, Source: token, Resources: []httpapi.Resource{httpapi.ResourceViewStatus}}, nil
}

func newStreams(t *testing.T, of times, limits stream.Limits) *streams {
	t.Helper()
	s := &streams{t: t, served: make(chan error, 1)}
	s.cfg, s.client = testkit.WithTopics(t, 2)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	h := &handler{log: log, stream: stream.NewHub(s.cfg, limits, log), streamTimes: of}
	s.server = httpapi.NewServer(config.HTTP{Addr: "127.0.0.1:0", Token: "all"}, shopTokens{&s.revoked}, []httpapi.Route{h.streamRoute()}, nil, log)
	l, err := s.server.Listen(t.Context())
	require.NoError(t, err)
	s.base = "http://" + l.Addr().String() + httpapi.BasePath + "/events/stream"
	go func() { s.served <- s.server.Serve(l) }()
	t.Cleanup(func() {
		require.NoError(t, s.server.Stop(context.Background()))
		require.NoError(t, <-s.served)
	})
	return s
}

// listener is a client of the stream.
type listener struct {
	t    *testing.T
	body io.ReadCloser
	in   *bufio.Reader
	last string
}

// sent is one block of the stream: an event, or a comment.
type sent map[string]string

// ask asks for a stream. The body is closed with the test.
func (s *streams) ask(query, token, last string) (status int, header http.Header, body io.ReadCloser) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.base+query, nil)
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(r)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer.StatusCode, answer.Header, answer.Body
}

// open begins a stream. When it returns, what is written from then on is sent.
func (s *streams) open(query, token, last string) *listener {
	s.t.Helper()
	status, header, body := s.ask(query, token, last)
	require.Equal(s.t, http.StatusOK, status)
	require.Equal(s.t, "text/event-stream", header.Get("Content-Type"))
	r := &listener{t: s.t, body: body, in: bufio.NewReader(body)}
	first := r.block()
	require.Equal(s.t, "3000", first["retry"])
	require.NotEmpty(s.t, first["id"])
	return r
}

// block reads up to the next empty line.
func (r *listener) block() sent {
	r.t.Helper()
	out := sent{}
	for {
		line, err := r.in.ReadString('\n')
		require.NoError(r.t, err)
		if line == "\n" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		out[name] = value
	}
	if out["id"] != "" {
		r.last = out["id"]
	}
	return out
}

// event reads the next event, past comments.
func (r *listener) event() sent {
	r.t.Helper()
	for {
		if b := r.block(); b["event"] != "" {
			return b
		}
	}
}

func (r *listener) ended() {
	r.t.Helper()
	rest, err := io.ReadAll(r.in)
	require.NoError(r.t, err)
	require.Empty(r.t, string(rest))
}

// write writes facts of an order to the log.
func (s *streams) write(source, id string, topics ...string) {
	s.t.Helper()
	for i, topic := range topics { // the later, the higher its version
		v := domain.Sync{
			SyncID: 7, Source: source, OrderIncrementID: id, Status: domain.Queued, MaxAttempts: 5, Generation: 1, IdempotencyKey: "ERP_" + id,
			Version: domain.AttemptVersion(1, i+1, domain.PhaseBefore), CreatedAt: requested, UpdatedAt: requested,
		}
		of := event.Sync{Sync: v, Order: json.RawMessage(`{"customer_email": "zoe@example.com"}`), Payload: new("Zoë"), Error: new("no such sku"), Warnings: []string{"no email"}}
		if topic == event.TopicFailed {
			of.Sync.Status, of.Sync.ErrorCode = domain.Failed, domain.ErrorRejected
			of.Response = &event.Response{Status: 422, Body: "Zoë"}
		}
		r, err := event.NewSync(topic, of, event.Context{At: attempted})
		require.NoError(s.t, err)
		require.NoError(s.t, s.client.ProduceSync(s.t.Context(), s.cfg.Record(r)).FirstErr())
	}
}

var patientTimes = times{heartbeat: time.Hour, write: time.Minute}

func TestAStreamSendsFactsAsTheyCome(t *testing.T) {
	t.Parallel()
	s := newStreams(t, patientTimes, stream.DefaultLimits)
	all := s.open("", "all", "")
	s.write("default", "000000123", event.TopicRequested, event.TopicFailed)
	require.Equal(t, event.TopicRequested, all.event()["event"])
	got := all.event()
	require.Equal(t, event.TopicFailed, got["event"])
	var fact map[string]any
	require.NoError(t, json.Unmarshal([]byte(got["data"]), &fact))
	require.Contains(t, fact, "partition")
	delete(fact, "partition")
	require.Equal(t, map[string]any{
		"sync_id": 7.0, "source": "default", "order_increment_id": "000000123", "occurred_at": "2024-01-15T10:30:00.000Z", "type": event.TopicFailed,
		"status": "failed", "generation": 1.0, "attempts": 0.0, "max_attempts": 5.0, "next_attempt_at": nil, "erp_reference": nil,
		"version": float64(domain.AttemptVersion(1, 2, domain.PhaseBefore)), "http_status": 422.0, "error_code": "erp_rejected", "error": "no such sku",
		"cause": nil, "warnings": []any{"no email"}, "topic": event.TopicFailed, "offset": 0.0,
	}, fact, "order, payload and response are the customer's")
}

func TestAStreamSendsWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	s := newStreams(t, patientTimes, stream.DefaultLimits)
	readers := map[string]*listener{
		"the shop's":           s.open("?source=outlet", "all", ""),
		"of a token of a shop": s.open("", "outlet", ""),
		"an order's":           s.open("?order=2&source=outlet", "all", ""),
		"of some types":        s.open("?type=failed,vendor_erp_sync_success&source=outlet", "all", ""),
		"of a status":          s.open("?status=failed,success&source=outlet", "outlet", ""),
	}
	s.write("default", "2", event.TopicFailed)
	s.write("outlet", "1", event.TopicRequested)
	s.write("outlet", "2", event.TopicRequested, event.TopicFailed)
	s.write("outlet", "9", event.TopicSuccess) // ends all: it matches none but by its type
	want := map[string][]string{
		"the shop's":           {"1 requested", "2 requested", "2 failed"},
		"of a token of a shop": {"1 requested", "2 requested", "2 failed"},
		"an order's":           {"2 requested", "2 failed"},
		"of some types":        {"2 failed"},
		"of a status":          {"2 failed"},
	}
	for name, r := range readers {
		var got []string
		for range want[name] {
			e := r.event()
			var fact struct {
				Order string `json:"order_increment_id"`
			}
			require.NoError(t, json.Unmarshal([]byte(e["data"]), &fact))
			require.NotContains(t, e["data"], `"source":"default"`, name)
			got = append(got, fact.Order+" "+strings.TrimPrefix(e["event"], "vendor_erp_sync_"))
		}
		require.ElementsMatch(t, want[name], got, name)
	}
}

// A client that comes again gets what came meanwhile, also from another process, and each fact once.
func TestAStreamGoesOnAfterTheLastEvent(t *testing.T) {
	t.Parallel()
	s := newStreams(t, patientTimes, stream.DefaultLimits)
	r := s.open("", "all", "")
	s.write("default", "1", event.TopicRequested, event.TopicBeforeSend)
	require.Equal(t, event.TopicRequested, r.event()["event"])
	require.NoError(t, r.body.Close())
	s.write("default", "1", event.TopicAfterSend)
	again := s.open("", "all", r.last)
	require.ElementsMatch(t, []string{event.TopicBeforeSend, event.TopicAfterSend}, []string{again.event()["event"], again.event()["event"]})
	s.write("default", "1", event.TopicSuccess)
	require.Equal(t, event.TopicSuccess, again.event()["event"])
}

func TestAStreamThatCannotGoOnSaysSo(t *testing.T) {
	t.Parallel()
	limits := stream.DefaultLimits
	limits.Behind = 1
	s := newStreams(t, patientTimes, limits)
	r := s.open("", "all", "")
	require.NoError(t, r.body.Close())
	s.write("default", "1", event.TopicRequested, event.TopicBeforeSend)
	again := s.open("", "all", r.last)
	gap := again.event()
	require.Equal(t, "gap", gap["event"])
	require.Contains(t, gap["data"], `{"reason":"too_old","detail":"`)
	s.write("default", "1", event.TopicSuccess)
	require.Equal(t, event.TopicSuccess, again.event()["event"], "it goes on from now")
}

// A healthy stream outlives the time that an answer may take, and its comments say where it is.
func TestASilentStreamStaysOpen(t *testing.T) {
	t.Parallel()
	s := newStreams(t, times{heartbeat: 20 * time.Millisecond, write: 50 * time.Millisecond}, stream.DefaultLimits)
	r := s.open("?order=2", "all", "")
	s.write("default", "1", event.TopicRequested)
	before := r.last
	testkit.Eventually(t, func() bool {
		_, comment := r.block()[": heartbeat"]
		return !comment && r.last != before
	}, "a comment with a later id")
	for range 10 { // ten times the silence, four times what a write may take
		require.NotEmpty(t, r.block()["id"])
	}
	s.write("default", "2", event.TopicRequested)
	require.Equal(t, event.TopicRequested, r.event()["event"])
}

func TestAStreamSaysWhyItEnds(t *testing.T) {
	t.Parallel()
	s := newStreams(t, times{heartbeat: 10 * time.Millisecond, write: time.Minute}, stream.DefaultLimits)
	r := s.open("", "outlet", "")
	s.revoked.Store(true)
	cut := r.event()
	require.Equal(t, "cut", cut["event"])
	require.Contains(t, cut["data"], `{"reason":"revoked","detail":"`)
	r.ended()

	r = s.open("", "all", "")
	began := time.Now()
	require.NoError(t, s.server.Stop(t.Context()))
	require.Less(t, time.Since(began), 5*time.Second, "a stream does not hold up the stop")
	cut = r.event()
	require.Equal(t, "cut", cut["event"])
	require.Contains(t, cut["data"], `{"reason":"stopping","detail":"`)
	r.ended()
}

// A client that reads nothing after the status held its part of the process for ever.
func TestAClientThatReadsNothingIsCut(t *testing.T) {
	t.Parallel()
	s := newStreams(t, times{heartbeat: time.Millisecond, write: 100 * time.Millisecond}, stream.Limits{Readers: 1, Behind: 1000, RingFacts: 10, RingBytes: 1 << 20})
	conn, err := net.Dial("tcp", strings.TrimPrefix(strings.TrimSuffix(s.base, httpapi.BasePath+"/events/stream"), "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	_, err = io.WriteString(conn, "GET "+httpapi.BasePath+"/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n\r\n")
	require.NoError(t, err)
	answer := func() int {
		status, _, body := s.ask("", "all", "")
		require.NoError(t, body.Close())
		return status
	}
	head := make([]byte, len("HTTP/1.1 200"))
	_, err = io.ReadFull(conn, head)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200", string(head), "nobody else may have the one place before: the streams of answer have it for a moment")
	require.Equal(t, http.StatusServiceUnavailable, answer())
	go func() { // fill the buffers between us
		for t.Context().Err() == nil {
			r, err := event.NewSync(event.TopicRequested, event.Sync{
				Sync:     domain.Sync{SyncID: 1, Source: "default", OrderIncrementID: "1", Status: domain.Queued, Generation: 1, Version: domain.RequestVersion(1, 0)},
				Warnings: []string{strings.Repeat("x", 100_000)},
			}, event.Context{At: attempted})
			if err != nil || s.client.ProduceSync(t.Context(), s.cfg.Record(r)).FirstErr() != nil {
				return
			}
		}
	}()
	testkit.Eventually(t, func() bool { return answer() == http.StatusOK }, "the place is free")
}

func TestStreamsThatCannotBe(t *testing.T) {
	t.Parallel()
	limits := stream.DefaultLimits
	limits.Readers = 1
	s := newStreams(t, patientTimes, limits)
	s.open("", "all", "")
	for query, c := range map[string]struct {
		token, last, code string
		status            int
	}{
		"":                {"all", "", "too_many_streams", http.StatusServiceUnavailable},
		"?x":              {"all", "nonsense", "query_invalid", http.StatusBadRequest},
		"?order=1":        {"all", "nonsense", "last_event_id_invalid", http.StatusBadRequest},
		"?source=default": {"outlet", "", "forbidden", http.StatusForbidden},
		"?type=faild":     {"all", "", "did you mean", http.StatusBadRequest},
		"?status=lost":    {"all", "", "query_invalid", http.StatusBadRequest},
	} {
		status, header, answer := s.ask(query, c.token, c.last)
		body, err := io.ReadAll(answer)
		require.NoError(t, err)
		require.Equal(t, c.status, status, query)
		require.Contains(t, string(body), c.code)
		if c.status == http.StatusServiceUnavailable {
			require.Equal(t, "30", header.Get("Retry-After"))
		}
	}
	head, err := http.NewRequestWithContext(t.Context(), http.MethodHead, s.base, nil)
	require.NoError(t, err)
	head.Header.Set("Authorization", "Bearer all")
	answer, err := http.DefaultClient.Do(head)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode, "a HEAD takes no stream")
}
