package doctor

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const partitions = 2

// world is an installation whose parts a test breaks.
type world struct {
	Installation

	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	cfg, err := config.FromEnv(func(name string) (string, bool) {
		return "http://" + listener.Addr().String() + "/api", name == "ERP_BASE_URL"
	})
	require.NoError(t, err)
	brokers, client := testkit.WithTopics(t, partitions)
	cfg.KafkaBrokers, cfg.TopicPrefix, cfg.Partitions = brokers.Brokers, brokers.Prefix, partitions
	w := &world{Installation{Config: cfg, Pool: testkit.Postgres(t).Pool, Kafka: client}, t}
	w.exec(`UPDATE vendor_erp_sync_counted SET offsets = 0`)
	return w
}

func (w *world) turnBreaker(turn func(domain.Breaker, domain.Moment) (domain.Breaker, bool)) {
	w.t.Helper()
	store := pace.NewStore(w.Pool)
	v, err := store.Load(w.t.Context())
	require.NoError(w.t, err)
	_, _, err = store.Change(w.t.Context(), v.State, func(s pace.State) pace.State {
		s.Breaker, _ = turn(s.Breaker, domain.Moment{Now: v.At, By: "test"})
		return s
	})
	require.NoError(w.t, err)
}

func (w *world) exec(sql string) {
	w.t.Helper()
	_, err := w.Pool.Exec(w.t.Context(), sql)
	require.NoError(w.t, err)
}

// look examines, and returns the finding of one check.
func (w *world) look(check string) Finding {
	w.t.Helper()
	for _, f := range Examine(w.t.Context(), w.Installation) {
		if f.Check == check {
			return f
		}
	}
	require.Fail(w.t, "there is no check of that name", check)
	return Finding{}
}

func (w *world) requires(check string, level Level, said, do string) {
	w.t.Helper()
	f := w.look(check)
	require.Equal(w.t, level, f.Level, "%+v", f)
	require.Contains(w.t, f.Said, said)
	require.Contains(w.t, f.Do, do)
	require.Equal(w.t, level == OK, f.Do == "", "what is not well says what to do")
}

// Each thing that a test breaks is well before it.
func TestWhatIsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	levels := map[string]Level{}
	for _, f := range Examine(t.Context(), w.Installation) {
		levels[f.Check] = f.Level
	}
	for _, check := range []string{"postgres", "clock", "rights", "disk", "topics", "relay", "erp", "connector", "orders", "quarantine", "dead letters"} {
		require.Equal(t, OK, levels[check], check)
	}
	require.Equal(t, Warn, levels["kafka"], "one broker")
	require.Equal(t, Fail, levels["group erpconnector-syncer"], "nobody reads for it")
}

func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	require.NoError(t, pgx.BeginFunc(t.Context(), w.Pool, func(tx pgx.Tx) error {
		return outbox.Publish(t.Context(), tx, []event.Record{{Topic: event.TopicRequested, Key: "k", UUID: "1", Value: []byte("{}")}})
	}))
	require.Equal(t, OK, w.look("relay").Level, "a row that came a moment ago is on its way")
	w.exec(`UPDATE erp_outbox SET created_at = now() - interval '2 minutes'`)
	w.requires("relay", Fail, "wait for Kafka since 20", "run relay")
	record, err := checkpoint.Position{LastID: 1, At: time.Now()}.Record()
	require.NoError(t, err)
	record.Topic = w.Config.Kafka().Topic(event.TopicPosition)
	require.NoError(t, w.Kafka.ProduceSync(t.Context(), record).FirstErr())
	w.requires("relay", OK, "are in Kafka", "")

	w.exec(`INSERT INTO vendor_erp_sync_count (source, status, group_id, n) VALUES ('default', 'failed', 1, 3), ('default', 'success', 0, 5)`)
	w.requires("orders", Warn, "5 success, 3 failed", "syncs/errors")
	w.exec(`UPDATE vendor_erp_sync_counted SET offsets = -1`)
	w.requires("orders", Warn, "not counted", "projector")

	w.exec(`INSERT INTO commerce_quarantine (source, code, problems, payload, published_at, quarantined_at)
		SELECT 'default', 'refused', '[]', '', now(), now() FROM generate_series(1, 1500)`)
	w.requires("quarantine", Warn, "1000 or more wait for somebody: events", "quarantine list")
	w.exec(`INSERT INTO erp_dead_letter (id, written_at, written_by, topic, partition, "offset", order_key, ce_id, bytes, reason, ended, judged)
		VALUES (1, now(), 'syncer', 't', 0, 0, 'k', '', 0, 'no JSON', false, true)`)
	w.requires("dead letters", Warn, "waiting for somebody: 1 records", "deadletter list")

	w.turnBreaker(func(b domain.Breaker, m domain.Moment) (domain.Breaker, bool) { return b.OpenByHand("it moves", m) })
	w.requires("erp", Warn, "each order", "erp status")
	w.turnBreaker(func(b domain.Breaker, m domain.Moment) (domain.Breaker, bool) {
		return b.CloseByHand("it has moved", m)
	})
	require.Equal(t, OK, w.look("erp").Level)
	w.Config.Settings.ErpBaseURL = "http://127.0.0.1:1/api"
	w.requires("erp", Fail, "nothing takes connections at 127.0.0.1:1", "network")
	w.Config.Settings.ErpBaseURL = ""
	w.requires("erp", Fail, "not set", "ERP_BASE_URL")
	w.Config.Settings.Enabled = false
	w.requires("connector", Warn, "off", "enabled=true")

	_, err = kadm.NewClient(w.Kafka).DeleteTopics(t.Context(), w.Config.Kafka().Topic(event.TopicDue))
	require.NoError(t, err)
	w.requires("topics", Fail, event.TopicDue, "topics ensure")
}

// A user of the database who may not write is told before a service fails at it.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.Pool.Begin(t.Context())
	require.NoError(t, err)
	role := "doctor_" + strings.ToLower(strings.ReplaceAll(time.Now().Format("150405.000000"), ".", ""))
	_, err = tx.Exec(t.Context(), `CREATE ROLE `+role+`; GRANT SELECT ON ALL TABLES IN SCHEMA public TO `+role)
	require.NoError(t, err)
	require.NoError(t, tx.Commit(t.Context()))
	t.Cleanup(func() {
		_, err := w.Pool.Exec(context.WithoutCancel(t.Context()), `RESET ROLE; DROP OWNED BY `+role+`; DROP ROLE `+role)
		require.NoError(t, err)
	})
	config := w.Pool.Config()
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, `SET ROLE `+role)
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	f := rights(t.Context(), pool)
	require.Equal(t, Fail, f.Level)
	require.Contains(t, f.Said, "accepted_event")
	require.Contains(t, f.Do, "docs/deploy.md")
}

func TestAServerThatIsAwayIsAFinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Pool.Close()
	for _, f := range Examine(t.Context(), Installation{Config: w.Config, Pool: w.Pool}) {
		require.Equal(t, Fail, f.Level, f.Check)
		require.Contains(t, f.Said, "could not be told", f.Check)
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	require.Equal(t, OK, skew(clockSkew).Level)
	require.Equal(t, OK, skew(-clockSkew).Level)
	require.Equal(t, "this machine's clock is 4.1 s ahead of that of Postgres", skew(4100*time.Millisecond).Said)
	require.Equal(t, "this machine's clock is 4.1 s behind that of Postgres", skew(-4100*time.Millisecond).Said)
}

func TestWorst(t *testing.T) {
	t.Parallel()
	of := func(levels ...Level) (f []Finding) {
		for _, l := range levels {
			f = append(f, Finding{Level: l})
		}
		return f
	}
	require.Equal(t, OK, Worst(nil))
	require.Equal(t, OK, Worst(of(OK, OK)))
	require.Equal(t, Warn, Worst(of(OK, Warn, OK)))
	require.Equal(t, Fail, Worst(of(Fail, Warn, OK)))
	require.Equal(t, Fail, Worst(of(OK, Warn, Fail)))
}

func TestDialed(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://erp/api": "erp:80", "https://erp/api": "erp:443", "https://erp:8443": "erp:8443", "http://[::1]/x": "[::1]:80",
	} {
		at, err := dialed(base)
		require.NoError(t, err)
		require.Equal(t, want, at)
	}
}
