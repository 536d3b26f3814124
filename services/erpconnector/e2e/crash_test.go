package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The places between an effect and its commit, in the order of the flow; the count says which passing. A death at the first ones
// leaves Postgres in between, at the others a transaction or a group of Kafka.
var (
	crashPointsOfPostgres = []string{"accept.before_commit", "accept.after_commit", "relay.read", "projector.before_commit", "projector.after_commit"}
	crashPointsOfKafka    = []string{
		"erpconnector-relay.produced", "relay.committed",
		"syncer.before_send:4", "syncer.called:4", "syncer.before_commit", "syncer-0.produced", "syncer.committed",
		"delayer.before_commit", "delayer-0.produced", "delayer.committed",
	}
)

// TestCrash kills the whole product at each point, starts it again, and asks: is anything lost, booked twice, ended
// twice, or different in the table and in the log? In full each point is tried on each broker.
func TestCrash(t *testing.T) {
	t.Parallel()
	binary := build(t)
	at := func(points []string) func(t *testing.T, brokers kafka.Config) {
		return func(t *testing.T, brokers kafka.Config) {
			t.Helper()
			t.Parallel()
			for _, point := range points {
				t.Run(point, func(t *testing.T) {
					t.Parallel()
					brokers := brokers
					brokers.Prefix += strings.NewReplacer(":", "-").Replace(point) + "."
					crashAt(t, newCrashCase(t, binary, brokers), point)
				})
			}
		}
	}
	testkit.OnEmbeddedFirst(t, at(crashPointsOfPostgres))
	testkit.OnApacheFirst(t, at(crashPointsOfKafka))
}

// build makes the program with its failpoints, once for all tests.
func build(t *testing.T) string {
	t.Helper()
	return testkit.Program(t, "..", "failpoints")
}

// Two processes share the work; one is killed while calls are under way, and the other finishes all of it. The broker ends the
// dead one's transaction and its part in the group, so this is Apache Kafka's to show.
func TestOneOfTwoProcessesDies(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		for _, point := range []string{"syncer.called:10", "syncer-0.produced"} {
			t.Run(point, func(t *testing.T) {
				t.Parallel()
				brokers := brokers
				brokers.Prefix += "two." + strings.NewReplacer(":", "-").Replace(point) + "."
				oneOfTwoDies(t, newCrashCase(t, binary, brokers), point)
			})
		}
	})
}

func oneOfTwoDies(t *testing.T, c *crashCase, point string) {
	t.Helper()
	const orders = 60
	c.erp.Fail(mockerp.Fault{Delay: mockerp.Delay(100 * time.Millisecond)})
	first := c.run(point)
	c.p.joined(event.GroupSyncer, 1) // so that it has the first lease
	second := *c.p
	second.cfg.HTTP.Addr = testkit.FreeAddr(t)
	second.base = "http://" + second.cfg.HTTP.Addr
	survivor := &crashCase{p: &second, binary: c.binary, erp: c.erp}
	survivor.run("")
	survivor.listening()
	survivor.p.joined(event.GroupSyncer, 2) // one that joins too late has no work to die in
	batch, names := invoices(orders)
	survivor.publish(batch)
	require.Equal(t, syscall.SIGKILL, first.ended(t))
	for _, order := range names {
		survivor.p.becomes(order, ended("success"))
	}
	survivor.requireNothingLostOrDoubled(t, orders)
}

// invoices are events of that many orders, and the orders' numbers.
func invoices(n int) (batch []any, orders []string) {
	for i := range n {
		order := fmt.Sprint(1000 + i)
		batch, orders = append(batch, invoice("e"+order, order)), append(orders, order)
	}
	return batch, orders
}

func crashAt(t *testing.T, c *crashCase, point string) {
	t.Helper()
	batch, orders := invoices(12)
	for i, order := range orders {
		if i%2 == 1 {
			c.erp.Fail(mockerp.Fault{Order: order, Status: http.StatusServiceUnavailable, Times: 1})
		}
	}
	first := c.run(point)
	var published sync.WaitGroup
	published.Go(func() { c.publish(batch) })
	require.Equal(t, syscall.SIGKILL, first.ended(t), "the point %s was not passed", point)
	c.run("")
	published.Wait()
	c.listening()
	for _, order := range orders {
		c.p.becomes(order, ended("success"))
	}
	c.requireNothingLostOrDoubled(t, len(orders))
}

func (c *crashCase) requireNothingLostOrDoubled(t *testing.T, orders int) {
	t.Helper()
	require.Zero(t, c.erp.Stats().Doubles)
	require.Equal(t, orders, c.erp.Stats().Bookings)
	require.Zero(t, c.erp.Stats().Refused)
	log := c.log(t)
	require.Len(t, log, orders)
	for order, facts := range log {
		requireOneEnd(t, order, facts)
	}
	c.requireTableIsLog(t, log)
	c.p.conserved()
}

// requireOneEnd: each event and request once, each attempt's after_send once, one terminal event.
func requireOneEnd(t *testing.T, order string, facts []logged) {
	t.Helper()
	seen := map[string]int{}
	for _, f := range facts {
		seen[f.id]++
		switch f.topic {
		case event.TopicSuccess, event.TopicFailed:
			seen["terminal"]++
		case event.TopicBeforeSend:
			seen[f.id] = 1 // an intent may repeat
		}
	}
	for id, n := range seen {
		require.Equal(t, 1, n, "order %s: %s", order, id)
	}
	require.Equal(t, 1, seen["terminal"], "order %s", order)
}

// crashCase is a product in a process of its own, against servers and an ERP that outlive it.
type crashCase struct {
	p      *product
	binary string
	erp    *mockerp.ERP
	with   []string // environment of the next process, in addition to what all have
}

func newCrashCase(t *testing.T, binary string, brokers kafka.Config) *crashCase {
	t.Helper()
	cfg := configured(t, brokers)
	erp := mockerp.New(mockerp.Options{APIKey: cfg.ERP.APIKey.Reveal(), Secret: cfg.ERP.HMAC.Reveal()})
	mux := http.NewServeMux()
	mux.Handle("POST "+httpapi.BasePath+"/orders/sync", erp)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	cfg.Settings.ErpBaseURL = server.URL + httpapi.BasePath
	return &crashCase{p: &product{t: t, cfg: cfg, base: "http://" + cfg.HTTP.Addr}, binary: binary, erp: erp}
}

// listening waits until HTTP is served. That something listens is not enough: a start first tries whether the address is free.
func (c *crashCase) listening() {
	c.p.t.Helper()
	testkit.Eventually(c.p.t, func() bool {
		resp, err := http.Get(c.p.base + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	}, "nothing listens")
}

// run starts the product, or some of its services.
func (c *crashCase) run(crashAt string, services ...string) *process {
	t := c.p.t
	t.Helper()
	cmd := exec.Command(c.binary, append([]string{"run"}, services...)...) //nolint:gosec // built by this test
	cmd.Env = append(c.environment(), "ERPCONNECTOR_FAILPOINT="+crashAt)
	return launch(t, cmd)
}

// environment is that of its processes.
func (c *crashCase) environment() []string {
	cfg := c.p.cfg
	return append(append(os.Environ(),
		"DATABASE_URL="+cfg.DatabaseURL, "KAFKA_BROKERS="+strings.Join(cfg.KafkaBrokers, ","), "KAFKA_TOPIC_PREFIX="+cfg.TopicPrefix,
		fmt.Sprintf("KAFKA_PARTITIONS=%d", cfg.Partitions), "HTTP_ADDR="+cfg.HTTP.Addr, "API_TOKEN="+cfg.HTTP.Token.Reveal(),
		"ERP_BASE_URL="+cfg.Settings.ErpBaseURL, "ERP_API_KEY="+cfg.ERP.APIKey.Reveal(), "ERP_HMAC_SECRET="+cfg.ERP.HMAC.Reveal(),
		"RETRY_BASE_DELAY=100ms",
	), c.with...)
}

// publish sends the batch as a shop does: again, until an answer says that it was taken.
func (c *crashCase) publish(batch []any) {
	body, _ := json.Marshal(batch) // maps of strings always encode
	ctx, cancel := context.WithTimeout(c.p.t.Context(), testkit.Patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, c.p.base+httpapi.BasePath+"/events", strings.NewReader(string(body)))
		req.Header.Set("Authorization", "Bearer token")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		<-tick.C
	}
}

// logged is one record of the log.
type logged struct {
	topic, id string
	at        time.Time
	value     event.Sync
}

// log is every committed record of the log, by order.
func (c *crashCase) log(t *testing.T) map[string][]logged {
	t.Helper()
	prefix := c.p.cfg.TopicPrefix
	client, err := kgo.NewClient(kgo.SeedBrokers(c.p.cfg.KafkaBrokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords(),
		kgo.ConsumeTopics(prefix+event.TopicSalesOrder, prefix+event.TopicRequested, prefix+event.TopicCallback, prefix+event.TopicBeforeSend,
			prefix+event.TopicAfterSend, prefix+event.TopicSuccess, prefix+event.TopicFailed))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, client.GetConsumeTopics()...)
	require.NoError(t, err)
	left := 0
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left++
		}
	})
	out := map[string][]logged{}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if end, _ := ends.Lookup(r.Topic, r.Partition); end.Offset == r.Offset+1 {
				left--
			}
			if !r.Attrs.IsControl() {
				out[string(r.Key)] = append(out[string(r.Key)], read(t, strings.TrimPrefix(r.Topic, prefix), r))
			}
		})
	}
	return out
}

func read(t *testing.T, topic string, r *kgo.Record) logged {
	t.Helper()
	l := logged{topic: topic}
	for _, h := range r.Headers {
		switch h.Key {
		case event.HeaderID:
			l.id = string(h.Value)
		case event.HeaderTime:
			at, err := time.Parse(time.RFC3339Nano, string(h.Value))
			require.NoError(t, err)
			l.at = domain.NormalizeTime(at)
		}
	}
	require.NotEmpty(t, l.id)
	if topic != event.TopicSalesOrder {
		v, err := event.DecodeSync(r.Value)
		require.NoError(t, err)
		l.value = v
	}
	return l
}

// tableRow is what the table says of an order; lists in words, so that a difference can be read.
type tableRow struct {
	Status, Error, Reference, Key, Payload, Response string
	Attempts, Generation                             int
	Version, AttemptVersion, ReferenceVersion        int64
	LastAttempt, Next, Created, Updated              string
}

// requireTableIsLog folds the log anew and compares it with the table, field by field.
func (c *crashCase) requireTableIsLog(t *testing.T, log map[string][]logged) {
	t.Helper()
	want := map[string]tableRow{}
	for order, facts := range log {
		var row *domain.Row
		for _, f := range facts {
			if f.topic == event.TopicSalesOrder {
				continue
			}
			fact := domain.Fact{Sync: f.value.Sync, Time: f.at, Payload: f.value.Payload, Error: f.value.Error}
			if f.value.Response != nil && f.topic != event.TopicCallback {
				fact.Response = &f.value.Response.Body
			}
			next := domain.Fold(row, fact)
			row = &next
		}
		want[order] = folded(*row)
	}
	conn, err := pgx.Connect(t.Context(), c.p.cfg.DatabaseURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var got map[string]tableRow
	caughtUp := func() bool { got = table(t, conn); return fmt.Sprint(got) == fmt.Sprint(want) }
	deadline := time.Now().Add(testkit.Patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !caughtUp() && time.Now().Before(deadline) {
		<-tick.C
	}
	require.Equal(t, want, got)
}

func folded(r domain.Row) tableRow {
	return tableRow{
		Status: string(r.Status), Error: deref(r.LastError), Reference: deref(r.ErpReference), Key: r.IdempotencyKey,
		Payload: deref(r.Payload), Response: deref(r.Response), Attempts: r.Attempts, Generation: r.Generation,
		Version: int64(r.Version.Version), AttemptVersion: int64(r.AttemptVersion.Version), ReferenceVersion: int64(r.ReferenceVersion.Version),
		LastAttempt: stamp(r.LastAttemptAt), Next: stamp(r.NextAttemptAt), Created: stamp(&r.CreatedAt), Updated: stamp(&r.UpdatedAt),
	}
}

func table(t *testing.T, conn *pgx.Conn) map[string]tableRow {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT order_increment_id, status, coalesce(last_error, ''), coalesce(erp_reference, ''), idempotency_key, coalesce(payload, ''),
			coalesce(response, ''), attempts, generation, version, attempt_version, reference_version, last_attempt_at, next_attempt_at,
			created_at, updated_at
		FROM vendor_erp_sync`)
	require.NoError(t, err)
	out := map[string]tableRow{}
	var order string
	var r tableRow
	var last, next, created, updated *time.Time
	_, err = pgx.ForEachRow(rows, []any{
		&order, &r.Status, &r.Error, &r.Reference, &r.Key, &r.Payload, &r.Response, &r.Attempts, &r.Generation, &r.Version,
		&r.AttemptVersion, &r.ReferenceVersion, &last, &next, &created, &updated,
	}, func() error {
		r.LastAttempt, r.Next, r.Created, r.Updated = stamp(last), stamp(next), stamp(created), stamp(updated)
		out[order] = r
		return nil
	})
	require.NoError(t, err)
	return out
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func stamp(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
