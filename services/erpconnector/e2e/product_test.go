package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/fx/fxtest"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/topics"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" { // a test runs this binary as the program
		os.Exit(cli.Main())
	}
	// Those that run side by side mostly wait, for the groups of killed processes to end. The command line has the last word.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	testkit.Main(m)
}

// product is the whole of it: every service on a real Postgres and a broker, reached by HTTP alone.
type product struct {
	t     *testing.T
	cfg   config.Config
	base  string
	token string            // empty: token
	at    map[string]string // base URL by service, when each is a process of its own
	env   map[string]string // of commands, beside what cfg says
}

// url is where a path is served.
func (p *product) url(path string) string {
	switch {
	case p.at == nil:
		return p.base + path
	case strings.HasPrefix(path, httpapi.BasePath+"/events"), strings.HasPrefix(path, httpapi.BasePath+"/quarantine"):
		return p.at["ingest"] + path
	case strings.HasPrefix(path, "/mockerp"):
		return p.at["mockerp"] + path
	default:
		return p.at["api"] + path
	}
}

// configured is a product on a database of its own with topics of its own, short delays, and the mock ERP beside it.
func configured(t *testing.T, brokers kafka.Config) config.Config {
	t.Helper()
	addr := testkit.FreeAddr(t)
	s := setting.Defaults()
	s.BaseDelay, s.MaxAttempts, s.ErpTimeout = 100*time.Millisecond, 3, time.Second
	s.ErpBaseURL = "http://" + addr + httpapi.BasePath
	cfg := config.Config{
		DatabaseURL: testkit.Postgres(t).URL, KafkaBrokers: brokers.Brokers, TopicPrefix: brokers.Prefix, KafkaAccess: brokers.Security, Partitions: 4, HTTP: config.HTTP{Addr: addr, Token: "token"},
		ERP: config.ERP{APIKey: "key", HMAC: "secret", InFlight: 16}, Settings: s,
	}
	admin, err := topics.NewAdmin(brokers, cfg.Partitions)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Ensure(t.Context(), false)
	require.NoError(t, err)
	problems, err := admin.Check(t.Context())
	require.NoError(t, err)
	require.Empty(t, problems)
	return cfg
}

func start(t *testing.T, cfg config.Config) *product {
	t.Helper()
	var level slog.Level
	require.NoError(t, level.UnmarshalText([]byte(cmp.Or(cfg.LogLevel, "info"))))
	return startLogging(t, cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})))
}

func startLogging(t *testing.T, cfg config.Config, log *slog.Logger) *product {
	t.Helper()
	running := fxtest.New(t, app.Options(cfg, log, app.Names()...))
	running.RequireStart()
	t.Cleanup(running.RequireStop)
	return &product{t: t, cfg: cfg, base: "http://" + cfg.HTTP.Addr}
}

func (p *product) do(method, path string, body any) (int, map[string]any) {
	p.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(p.t, err)
	if raw, ok := body.(string); ok {
		encoded = []byte(raw)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url(path), bytes.NewReader(encoded))
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+cmp.Or(p.token, "token"))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.t, err)
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	out := map[string]any{}
	if len(content) > 0 && content[0] == '{' {
		require.NoError(p.t, json.Unmarshal(content, &out), "%s", content)
	}
	return resp.StatusCode, out
}

func (p *product) fail(faults ...mockerp.Fault) {
	p.t.Helper()
	status, _ := p.do(http.MethodPost, "/mockerp/faults", faults)
	require.Equal(p.t, http.StatusOK, status)
}

func invoice(eventID, order string) map[string]any {
	return map[string]any{
		"event_id": eventID, "type": "invoice.created", "invoice": map[string]any{"increment_id": "i-" + order},
		"order": map[string]any{
			"order_increment_id": order, "order_id": 7, "currency": "EUR",
			"items":  []any{map[string]any{"sku": "A", "name": "Größe <L> & more", "qty": "2", "price": "99.990", "row_total": "199.98"}},
			"totals": map[string]any{"subtotal": "199.98", "tax": "20.00", "shipping": "10.00", "discount": "0.00", "grand_total": "229.98"},
		},
	}
}

// becomes waits until the order's status satisfies the condition.
func (p *product) becomes(order string, want func(status map[string]any) bool) map[string]any {
	p.t.Helper()
	for began := time.Now(); ; <-time.After(testkit.Pause(time.Since(began))) {
		_, got := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/"+order, nil)
		if want(got) {
			return got
		}
		if time.Since(began) > testkit.Patience {
			require.Fail(p.t, "not in time", "order %s stands at %v\n%s", order, got, p.whereabouts(order))
		}
	}
}

func ended(status string) func(map[string]any) bool {
	return func(s map[string]any) bool { return s["status"] == status && s["last_attempt_at"] != nil }
}

// publish sends an event as a shop does: once more when nothing of it was taken, as the database was too slow.
func (p *product) publish(event any) (status int, answer map[string]any) {
	p.t.Helper()
	testkit.Eventually(p.t, func() bool {
		status, answer = p.do(http.MethodPost, httpapi.BasePath+"/events", event)
		return status != http.StatusServiceUnavailable
	}, "the event is not taken: %v", &answer)
	return status, answer
}

// joined waits until a group has this many members and each partition belongs to one.
func (p *product) joined(group event.Group, members int) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...))
	require.NoError(p.t, err)
	defer client.Close()
	name := p.cfg.TopicPrefix + string(group)
	var got kadm.DescribedGroup
	testkit.Eventually(p.t, func() bool {
		groups, err := kadm.NewClient(client).DescribeGroups(p.t.Context(), name)
		got = groups[name]
		return err == nil && got.State == "Stable" && len(got.Members) == members
	}, "%s: %s with %d members", group, got.State, len(got.Members))
}

// consumed waits until a group has committed that it is through with this many records of a topic. (Lag would not do:
// the marker that ends a transaction has an offset of its own, which no consumer commits.)
func (p *product) consumed(group event.Group, topic string, records int64) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...))
	require.NoError(p.t, err)
	defer client.Close()
	var committed int64
	testkit.Eventually(p.t, func() bool {
		offsets, err := kadm.NewClient(client).FetchOffsets(p.t.Context(), p.cfg.TopicPrefix+string(group))
		committed = 0
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == p.cfg.TopicPrefix+topic {
				committed += o.At
			}
		})
		return err == nil && committed >= records
	}, "%s is at %d of %d records of %s", group, committed, records, topic)
}
