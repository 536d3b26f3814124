package collect

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// A record or a row that is not collected is not judged. So every committed one must be there, in a history that can be saved,
// and no other: not an aborted one, not a trimmed one, and none of another prefix.
func TestCollectReadsEverythingCommittedAndNothingElse(t *testing.T) {
	t.Parallel()
	cfg, database := testkit.EmbeddedBroker(t), testkit.Postgres(t)
	after := testkit.Topic(t, cfg, "vendor_erp_sync_after_send")
	testkit.FillWithTransactions(t, cfg, after, 9) // three are aborted, the last one among them
	client, err := kgo.NewClient(cfg.Options()...)
	require.NoError(t, err)
	defer client.Close()
	for _, name := range []string{"sales_order_event", "vendor_erp_sync_retry_1s", "vendor_erp_sync_due", positionTopic, "another_topic"} {
		topic := testkit.Topic(t, cfg, name)
		for i := range 5 {
			r := &kgo.Record{Topic: topic, Key: []byte("1"), Value: fmt.Appendf(nil, `{"n":%d}`, i), Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(name)}}}
			require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
		}
	}
	other := cfg
	other.Prefix = "other." + cfg.Prefix
	require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: testkit.Topic(t, other, "vendor_erp_sync_failed")}).FirstErr())
	trimmed := kadm.Offsets{}
	trimmed.AddOffset(cfg.Topic("vendor_erp_sync_retry_1s"), 0, 3, -1)
	trimmed.AddOffset(cfg.Topic("vendor_erp_sync_due"), 0, 5, -1)
	responses, err := kadm.NewClient(client).DeleteRecords(t.Context(), trimmed)
	require.NoError(t, err)
	require.NoError(t, responses.Error())
	fill(t, database)

	h := &history.History{Records: make([]history.Record, 7), Outbox: make([]history.OutboxRow, 7), Gates: make([]history.Gate, 7)}
	require.NoError(t, Collect(t.Context(), cfg.Brokers, cfg.Prefix, database.URL, h))
	require.Equal(t, committed(9), offsetsOf(h, "vendor_erp_sync_after_send"))
	require.Equal(t, []int64{0, 1, 2, 3, 4}, offsetsOf(h, "sales_order_event"))
	require.Equal(t, []int64{3, 4}, offsetsOf(h, "vendor_erp_sync_retry_1s"))
	require.Len(t, h.Records, 60+5+2)
	require.Equal(t, "sales_order_event", h.Records[0].Headers["ce_id"])
	require.JSONEq(t, `{"n":0}`, string(h.Records[0].Value))
	require.Equal(t, []history.Start{
		{Topic: "sales_order_event"}, {Topic: "vendor_erp_sync_after_send"}, {Topic: "vendor_erp_sync_due", Offset: 5}, {Topic: "vendor_erp_sync_retry_1s", Offset: 3},
	}, h.Starts)
	require.Equal(t, []history.OutboxRow{{ID: 5, Topic: "t", Key: "k", UUID: "u", EventID: "e"}, {ID: 6, Topic: "t", Key: "k", UUID: "v"}}, h.Outbox)
	requireTables(t, h)

	path := filepath.Join(t.TempDir(), "history.json")
	require.NoError(t, h.Save(path))
	loaded, err := history.Load(path)
	require.NoError(t, err)
	requireTables(t, loaded)
	require.Equal(t, h.Records, loaded.Records)
}

// committed are the offsets of what FillWithTransactions commits: ten records and a marker, and each third is aborted.
func committed(transactions int64) (offsets []int64) {
	for i := range transactions {
		for n := range int64(10) {
			if i%3 != 2 {
				offsets = append(offsets, 11*i+n)
			}
		}
	}
	return offsets
}

func offsetsOf(h *history.History, topic string) (offsets []int64) {
	for _, r := range h.Records {
		if r.Topic == topic {
			offsets = append(offsets, r.Offset)
		}
	}
	return offsets
}

// fill writes rows with and without what may be missing.
func fill(t *testing.T, database testkit.Database) {
	t.Helper()
	for _, statement := range []string{
		`INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload) VALUES (6, 't', 'k', 'v', '{}', ''), (5, 't', 'k', 'u', '{"ce_id": "e"}', '')`,
		`INSERT INTO vendor_erp_sync (sync_id, order_increment_id, status, attempts, max_attempts, last_attempt_at, idempotency_key, created_at, updated_at,
			source, generation, attempt_version, attempt_version_at, version, version_at)
		SELECT n, n, 'success', 1, 5, '2026-01-01 12:00:00.000001+02', 'K', now(), now(), 'default', 1, 1 << 28, now(), 1 << 28, now() FROM generate_series(8, 9) n`,
		`INSERT INTO sales_order (order_key, source, increment_id, snapshot, erp_synced, created_at, updated_at) VALUES ('8', 'default', '8', '{}', 1, now(), now())`,
		`INSERT INTO erp_sync_gate (order_key, source, increment_id, updated_at) VALUES ('8', 'default', '8', now())`,
		`INSERT INTO erp_pace_history (at, from_state, to_state, why, by, allowed) VALUES
			('2026-01-01 12:00+02', 'closed', 'open', '', '', 0), ('2026-01-01 12:01+02', 'open', 'closing', '', '', 1),
			('2026-01-01 12:02+02', 'closing', 'closed', '', '', 0), ('2026-01-01 12:03+02', 'closed', 'open', '', '', 0)`,
	} {
		_, err := database.Pool.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}

// requireTables holds for a history that was collected, and for one that was loaded.
func requireTables(t *testing.T, h *history.History) {
	t.Helper()
	require.Len(t, h.Table, 2)
	require.EqualValues(t, 8, h.Table[0]["sync_id"])
	require.EqualValues(t, 1, h.Table[0]["erp_synced"])
	require.Nil(t, h.Table[1]["erp_synced"])
	require.Equal(t, "2026-01-01T10:00:00.000001Z", h.Table[0]["last_attempt_at"])
	require.Nil(t, h.Table[0]["next_attempt_at"])
	require.Len(t, h.Gates, 1)
	require.Equal(t, "none", h.Gates[0]["state"])
	ten := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	require.Equal(t, []history.BreakerChange{
		{At: ten, From: "closed", To: "open"},
		{At: ten.Add(time.Minute), From: "open", To: "closing"},
		{At: ten.Add(2 * time.Minute), From: "closing", To: "closed"},
		{At: ten.Add(3 * time.Minute), From: "closed", To: "open"},
	}, h.Breaker)
}

// An empty history would have no violation. So a wrong prefix, and a server that is away, are errors.
func TestCollectFailsWhenThereIsNothingToRead(t *testing.T) {
	t.Parallel()
	cfg, database := testkit.EmbeddedBroker(t), testkit.Postgres(t)
	require.ErrorContains(t, Collect(t.Context(), cfg.Brokers, "wrong.", database.URL, &history.History{}), `"wrong."`)
	testkit.Topic(t, cfg, "vendor_erp_sync_failed")
	require.NoError(t, Collect(t.Context(), cfg.Brokers, cfg.Prefix, database.URL, &history.History{}))
	require.ErrorContains(t, Collect(t.Context(), cfg.Brokers, cfg.Prefix, "postgres://127.0.0.1:1/none", &history.History{}), "Postgres")
}
