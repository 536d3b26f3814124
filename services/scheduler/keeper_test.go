package scheduler

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
	"github.com/erpconnector/erpconnector/shared/postgres"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/setting/settingtest"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// kept is an outbox with a keeper: two partitions of old rows and one of new ones.
type kept struct {
	*keeper
	t        *testing.T
	cfg      kafka.Config
	client   *kgo.Client
	settings *settingtest.Changeable
	log      bytes.Buffer
}

func keep(t *testing.T) *kept {
	t.Helper()
	k := &kept{t: t, settings: settingtest.New(setting.Defaults())}
	k.cfg, k.client = testkit.WithTopics(t, 2)
	k.keeper = newKeeper(testkit.Postgres(t).Pool, k.cfg, k.settings, slog.New(slog.NewTextHandler(&k.log, nil)))
	for i, days := range []int{30, 10, 1} {
		k.exec(`SELECT setval('erp_outbox_id_seq', $1)`, max(1, i*outbox.MinWidth))
		require.NoError(t, pgx.BeginFunc(t.Context(), k.pool, func(tx pgx.Tx) error {
			return outbox.Publish(t.Context(), tx, []event.Record{{Topic: event.TopicRequested, Key: "k", UUID: fmt.Sprint(i), Value: []byte("{}")}})
		}))
		k.exec(`UPDATE erp_outbox SET created_at = $1 WHERE uuid = $2`, time.Now().AddDate(0, 0, -days), fmt.Sprint(i))
	}
	return k
}

func (k *kept) exec(sql string, args ...any) {
	k.t.Helper()
	_, err := k.pool.Exec(k.t.Context(), sql, args...)
	require.NoError(k.t, err)
}

// relayed says what the relay has brought to Kafka.
func (k *kept) relayed(at checkpoint.Position) {
	k.t.Helper()
	at.At = time.Now()
	record, err := at.Record()
	require.NoError(k.t, err)
	record.Topic = k.cfg.Topic(event.TopicPosition)
	require.NoError(k.t, k.client.ProduceSync(k.t.Context(), record).FirstErr())
}

// left are the partitions with rows after a drop, by the first digit of the row.
func (k *kept) left() (uuids []string) {
	k.t.Helper()
	require.NoError(k.t, k.drop(k.t.Context()))
	rows, err := k.pool.Query(k.t.Context(), `SELECT uuid FROM erp_outbox ORDER BY id`)
	require.NoError(k.t, err)
	uuids, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(k.t, err)
	return uuids
}

const lastRow = 2*outbox.MinWidth + 1

func TestWhatIsRelayedAndOldIsDropped(t *testing.T) {
	t.Parallel()
	k := keep(t)
	all := []string{"0", "1", "2"}
	k.relayed(checkpoint.Position{LastID: 2})
	require.Equal(t, all, k.left(), "nothing is relayed beyond the first rows")
	for name, at := range map[string]checkpoint.Position{
		"a lane is behind":   {LastID: lastRow, Behind: map[string]int64{"0": 2}},
		"a row may come yet": {LastID: lastRow, Open: outbox.Gaps{{First: 3, Last: outbox.MinWidth}}},
	} {
		k.relayed(at)
		require.Equal(t, all, k.left(), name)
	}
	k.relayed(checkpoint.Position{LastID: lastRow})
	k.settings.Change(func(s *setting.Settings) { s.OutboxRetention = 0 })
	require.Equal(t, all, k.left(), "rows are kept for ever")
	k.settings.Change(func(s *setting.Settings) { s.OutboxRetention = 20 * 24 * time.Hour })
	k.exec(`INSERT INTO erp_dead_letter (id, written_at, written_by, topic, partition, "offset", order_key, ce_id, bytes, reason, ended, judged)
		VALUES (1, now() - interval '29 days', 'relay', '', -1, -1, 'k', '', 0, 'too large', false, true)`)
	require.Equal(t, all, k.left(), "the relay's dead letter is its row alone")
	k.exec(`UPDATE erp_dead_letter SET state = 'discarded', decided_at = now()`)
	k.exec(`INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, idempotency_key, requested_at, updated_at)
		VALUES ('k', 'default', 'k', 1, 1, 'open', 'K', now() - interval '31 days', now())`)
	require.Equal(t, all, k.left(), "an order is under way that was requested then")
	k.exec(`UPDATE erp_sync_gate SET state = 'closed', closed_by = 'answer'`)
	require.Equal(t, []string{"1", "2"}, k.left())
	k.settings.Change(func(s *setting.Settings) { s.OutboxRetention = 7 * 24 * time.Hour })
	require.Equal(t, []string{"2"}, k.left())
	k.settings.Change(func(s *setting.Settings) { s.OutboxRetention = time.Hour })
	require.Equal(t, []string{"2"}, k.left(), "the row that was relayed last stays")
	require.Contains(t, k.log.String(), "erp_outbox_p250000")
}

func TestTheKeeperMakesPlace(t *testing.T) {
	t.Parallel()
	k := keep(t)
	require.NoError(t, k.extend(t.Context()))
	partitions, err := outbox.Partitions(t.Context(), k.pool)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(partitions, func(p outbox.Partition) bool { return p.From <= lastRow+outbox.Ahead && p.To > lastRow+outbox.Ahead }))
	require.Contains(t, k.log.String(), "place made for new rows")
}

func TestOldTimelinesAreDeleted(t *testing.T) {
	t.Parallel()
	k := keep(t)
	k.exec(`INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
		SELECT now() - interval '40 days', 'any', 0, i, 1, 1, 'any', 'success', 1 FROM generate_series(1, $1) AS i`, cleanRows+1)
	k.exec(`INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, idempotency_key, created_at, updated_at,
			source, generation, attempt_version, attempt_version_at, version, version_at)
		VALUES (1, '1', 'success', 1, 5, 'ERP', now(), now() - interval '40 days', 'default', 1, 1, now(), 1, now())`)
	clean := func() bool {
		more, err := k.clean(t.Context())
		require.NoError(t, err)
		return more
	}
	lines := func() (n int) {
		require.NoError(t, k.pool.QueryRow(t.Context(), `SELECT count(*) FROM vendor_erp_sync_event`).Scan(&n))
		return n
	}
	require.False(t, clean())
	require.Equal(t, cleanRows+1, lines(), "timelines are kept for ever unless somebody says otherwise")
	k.settings.Change(func(s *setting.Settings) { s.TimelineRetention = 50 * 24 * time.Hour })
	require.False(t, clean())
	require.Equal(t, cleanRows+1, lines())
	k.settings.Change(func(s *setting.Settings) { s.TimelineRetention = 30 * 24 * time.Hour })
	require.True(t, clean(), "there is more")
	require.Equal(t, 1, lines())
	require.False(t, clean())
	require.Zero(t, lines())
	require.Contains(t, k.log.String(), "table=vendor_erp_sync_event rows=1")
}

// putEvent puts an accepted event of an order that was requested or not.
func (k *kept) putEvent(order string, gate domain.GateState, of event.Type, days, changedDays int) {
	k.t.Helper()
	k.exec(`INSERT INTO erp_sync_gate (order_key, source, increment_id, state, held_by, closed_by, sync_id, generation, idempotency_key, updated_at)
		SELECT $1::text, 'default', $1, $2::text, CASE WHEN $2 = 'held' THEN 'cron' END, CASE WHEN $2 = 'closed' THEN 'answer' END,
			CASE WHEN $2 <> 'none' THEN nextval('erp_sync_id_seq') END, CASE WHEN $2 = 'none' THEN 0 ELSE 1 END, $1, now() - make_interval(days => $3::int)
		ON CONFLICT (order_key) DO NOTHING`, order, gate, changedDays)
	k.exec(`INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
		VALUES ('default', $1 || '-' || $2::int, $1, '', $3, now() - make_interval(days => $2))`, order, days, of)
}

func TestOldEventsAreForgotten(t *testing.T) {
	t.Parallel()
	k := keep(t)
	k.putEvent("ended", domain.GateClosed, event.OrderPlaced, 41, 40)
	k.putEvent("ended", domain.GateClosed, event.InvoiceCreated, 40, 40)
	k.putEvent("ended", domain.GateClosed, event.OrderUpdated, 20, 40)
	k.putEvent("sent again", domain.GateClosed, event.InvoiceCreated, 40, 20)
	k.putEvent("under way", domain.GateOpen, event.InvoiceCreated, 40, 40)
	k.putEvent("waits", domain.GateHeld, event.InvoiceCreated, 40, 40)
	k.putEvent("never invoiced", domain.GateNone, event.OrderPlaced, 40, 40)
	k.putEvent("request lost", domain.GateNone, event.InvoiceCreated, 40, 40)
	left := func() []string {
		more, err := k.clean(t.Context())
		require.NoError(t, err)
		require.False(t, more)
		rows, err := k.pool.Query(t.Context(), `SELECT event_id FROM accepted_event ORDER BY event_id`)
		require.NoError(t, err)
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return ids
	}
	require.Len(t, left(), 8, "events are known for ever unless somebody says otherwise")
	k.settings.Change(func(s *setting.Settings) { s.EventRetention = 50 * 24 * time.Hour })
	require.Len(t, left(), 8)
	k.settings.Change(func(s *setting.Settings) { s.EventRetention = 30 * 24 * time.Hour })
	require.Equal(t, []string{"ended-20", "request lost-40", "sent again-40", "under way-40", "waits-40"}, left())
	require.Contains(t, k.log.String(), "table=accepted_event rows=3")
}

// TestOldEventsAreFoundByTheIndex guards that a look with nothing to do does not read the whole table.
func TestOldEventsAreFoundByTheIndex(t *testing.T) {
	t.Parallel()
	k := keep(t)
	k.exec(`INSERT INTO accepted_event (source, event_id, order_key, digest, type, accepted_at)
		SELECT 'default', i, i, '', 'order.placed', now() FROM generate_series(1, 50000) AS i`)
	k.exec(`SELECT brin_summarize_new_values('accepted_event_at')`)
	tx, err := k.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), postgres.BitmapsOnly)
	require.NoError(t, err)
	rows, err := tx.Query(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, TIMING off, SUMMARY off) `+forgetQuery, time.Now().AddDate(0, 0, -1), 100, event.InvoiceCreated)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Regexp(t, `Bitmap Index Scan on accepted_event_at .*Bitmap Index Scan on erp_sync_gate_pkey `, strings.Join(plan, " "))
	require.NotContains(t, strings.Join(plan, " "), "Seq Scan")
}
