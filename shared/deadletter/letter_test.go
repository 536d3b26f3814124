package deadletter_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "50") // each writes to Postgres; the command line wins
	testkit.Main(m)
}

var (
	cluster = kafka.Config{Prefix: "p."}
	noon    = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	due     = noon.Add(time.Minute)
)

// retry is a parked retry of order shop-b/1 after three calls.
func retry(t *testing.T) *kgo.Record {
	t.Helper()
	s := domain.Sync{Source: "shop-b", OrderIncrementID: "1", Generation: 2, Attempts: 3, Version: domain.AttemptVersion(2, 3, domain.PhaseAfter)}
	rec, err := event.NewRetry(event.Sync{Sync: s}, due, event.Context{At: noon})
	require.NoError(t, err)
	r := cluster.Record(rec)
	r.Topic, r.Partition, r.Offset, r.Value = "p."+event.RetryTiers[3].Topic, 4, 17, []byte("{Zoë")
	return r
}

// written is a letter as it comes back from the topic.
func written(r *kgo.Record) *kgo.Record {
	r.Offset, r.Timestamp = 5, noon.Add(time.Hour)
	return r
}

func TestALetterSaysWhatItsRecordWas(t *testing.T) {
	original := retry(t)
	letter := written(deadletter.Record(cluster, original, deadletter.Cause{By: deadletter.ByDelayer, Reason: "no \x00 JSON: Zoë"}))
	l := deadletter.Read(cluster, letter)
	require.Equal(t, deadletter.Letter{
		ID: 5, WrittenAt: noon.Add(time.Hour), By: "delayer", Topic: "vendor_erp_sync_retry_64s", Partition: 4, Offset: 17, OrderKey: "shop-b/1",
		CeID: "shop-b/1/553648154/vendor_erp_sync_retry", RecordAt: &noon, DueAt: &due, Bytes: len("{Zoë"), Reason: "no \uFFFD JSON: Zoë",
	}, l)
	require.Equal(t, domain.DeadLetter{Version: domain.AttemptVersion(2, 3, domain.PhaseAfter), At: noon, NextAttemptAt: &due}, l.ChainRecord())

	back, err := deadletter.Original(cluster, letter)
	require.NoError(t, err)
	sent := cluster.Record(back)
	require.Equal(t, original.Topic, sent.Topic)
	require.Equal(t, original.Key, sent.Key)
	require.Equal(t, original.Value, sent.Value)
	require.ElementsMatch(t, original.Headers, sent.Headers)

	again := deadletter.Read(cluster, written(deadletter.Record(cluster, letter, deadletter.Cause{By: "warehouse", Reason: "once more", Ended: true})))
	require.Equal(t, deadletter.Writer("warehouse"), again.By, "a letter of a letter says what is new")
	require.Equal(t, "once more", again.Reason)
	require.True(t, again.Ended)
}

// What cannot have kept a generation alive stops no order, so it has no version.
func TestARecordThatIsNoneOfTheChains(t *testing.T) {
	for name, change := range map[string]func(r *kgo.Record){
		"of_another_order":     func(r *kgo.Record) { r.Key = []byte("1") },
		"of_a_prefix_of_it":    func(r *kgo.Record) { r.Key = []byte("shop-b") },
		"without_ce_id":        func(r *kgo.Record) { r.Headers = nil },
		"a_retry_in_requested": func(r *kgo.Record) { r.Topic = "p." + event.TopicRequested },
		"of_another_prefix": func(r *kgo.Record) {
			for i := range r.Headers {
				if r.Headers[i].Key == event.HeaderID {
					r.Headers[i].Value = []byte("shop-b/+553648154/vendor_erp_sync_retry")
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := retry(t)
			change(r)
			require.Zero(t, deadletter.Read(cluster, written(deadletter.Record(cluster, r, deadletter.Cause{By: deadletter.ByDelayer}))).ChainRecord().Version)
		})
	}
}

func TestARecordThatTheOutboxCannotCarryIsNotSentBack(t *testing.T) {
	for why, change := range map[string]func(r *kgo.Record){
		"key is no text": func(r *kgo.Record) { r.Key = []byte("\xff") },
		`"x" twice`: func(r *kgo.Record) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: "x"}, kgo.RecordHeader{Key: "x"})
		},
		`"x" is no text`:       func(r *kgo.Record) { r.Headers = append(r.Headers, kgo.RecordHeader{Key: "x", Value: []byte{0}}) },
		"no header _watermill": func(r *kgo.Record) { r.Headers = nil },
	} {
		r := retry(t)
		change(r)
		_, err := deadletter.Original(cluster, written(deadletter.Record(cluster, r, deadletter.Cause{})))
		require.ErrorContains(t, err, why)
	}
}

// A letter that the table refused would hold up the projection for ever.
func TestWhateverStandsInTheTopicCanBeListed(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	ctx := context.Background()
	next := int64(0)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 40), rapid.Just(make([]byte, 3000)), rapid.Just([]byte("9223372036854775807")),
			rapid.Just([]byte("-1")), rapid.Just([]byte("9999-12-31T23:59:59.999999999Z")), rapid.Just([]byte("p.vendor_erp_sync_due")))
		var letters []deadletter.Letter
		for range rapid.IntRange(1, 4).Draw(t, "letters") {
			r := &kgo.Record{Key: text.Draw(t, "key"), Value: text.Draw(t, "value"), Offset: next, Timestamp: time.UnixMilli(rapid.OneOf(rapid.Int64(), rapid.Just(noon.UnixMilli())).Draw(t, "timestamp"))}
			for _, name := range []string{
				event.HeaderOriginTopic, event.HeaderOriginPartition, event.HeaderOriginOffset, event.HeaderReason, event.HeaderDeadLetterBy,
				event.HeaderDeadLetterEnded, event.HeaderID, event.HeaderTime, event.HeaderDue, "x",
			} {
				if rapid.Bool().Draw(t, name) {
					r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: text.Draw(t, "of "+name)})
				}
			}
			next++
			letters = append(letters, deadletter.Read(cluster, r))
		}
		require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return deadletter.Add(ctx, tx, letters, deadletter.ToJudge) }))
		kept, err := deadletter.Between(ctx, pool, letters[0].ID, next)
		require.NoError(t, err)
		missing, err := deadletter.WithoutKnown(ctx, pool, letters[:len(letters):len(letters)])
		require.NoError(t, err)
		for _, l := range letters {
			found := false
			for _, k := range kept {
				if k.ID == l.ID {
					found = true
					require.True(t, k.Same(l), "%+v\n%+v", k, l)
				}
			}
			if !found {
				for _, m := range missing {
					require.NotEqual(t, l.ID, m.ID, "neither listed nor known")
				}
			}
		}
	})
}

func TestListPagesOfLettersAreTheWhole(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	var letters []deadletter.Letter
	for i := range int64(5) {
		letters = append(letters, deadletter.Letter{ID: i, WrittenAt: noon, Topic: "t", Offset: i, OrderKey: fmt.Sprint(i % 2)})
	}
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		if err := deadletter.Add(t.Context(), tx, letters, deadletter.WithoutEffect); err != nil {
			return err
		}
		return deadletter.Decide(t.Context(), tx, 2, deadletter.Decision{State: deadletter.Discarded, By: "me", Why: "why", At: noon})
	}))
	ids := func(f deadletter.Filter) (out []int64) {
		for f.Limit = 2; ; {
			entries, more, err := deadletter.List(t.Context(), pool, f)
			require.NoError(t, err)
			for _, e := range entries {
				out = append(out, e.ID)
			}
			if !more {
				return out
			}
			f.After = entries[len(entries)-1].ID
		}
	}
	require.Equal(t, []int64{0, 1, 2, 3, 4}, ids(deadletter.Filter{After: -1}))
	require.Equal(t, []int64{0, 1, 3, 4}, ids(deadletter.Filter{After: -1, State: deadletter.Open}))
	require.Equal(t, []int64{0, 2, 4}, ids(deadletter.Filter{After: -1, OrderKey: "0"}))
	_, err := deadletter.Get(t.Context(), pool, 9)
	require.ErrorIs(t, err, deadletter.ErrUnknown)
}
