package projector

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A shadow that passed the live positions would show what the live table cannot have yet.
func TestAShadowFoldsUpToTheLivePositionsAndNoFurther(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.project()
		for order := 3; order < 9; order++ { // nobody applies these to the live tables; they come into both partitions
			b.publish(success(order))
		}
		var last Progress
		s := newShadow(b.cfg, b.pool, quiet, "shadow", func(p Progress) { last = p }, &timelineCheck{found: func(Difference) {}})
		require.NoError(b, s.create(b.ctx, ""))
		require.NoError(b, s.approach(b.ctx))
		require.Len(b, query(b, b.pool, `SELECT FROM shadow`), 3)
		require.Equal(b, query(b, b.pool, `SELECT * FROM projector_position ORDER BY topic, partition`), query(b, b.pool, `SELECT * FROM shadow_position ORDER BY topic, partition`))
		require.Equal(b, last.Of, last.Done)
		require.Equal(b, Lines{Compared: 12}, s.store.check.lines, "the timeline was compared on the way")

		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, quiet))
		require.NoError(b, s.approach(b.ctx), "it goes on from where it is")
		require.Len(b, query(b, b.pool, `SELECT FROM shadow`), 9)
		require.NoError(b, s.drop(b.ctx))
		b.requireNoTables("shadow%")
	})
}

// Readers' indexes cost much while rows change. The unique ones refuse what those of the live table refuse.
func TestAShadowHasTheUniqueIndexesAndGetsTheOthersAtTheEnd(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		indexes := func(table string) int {
			return len(query(b, b.pool, `SELECT FROM pg_index WHERE indrelid = '`+table+`'::regclass`))
		}
		s := newShadow(b.cfg, b.pool, quiet, "shadow", func(Progress) {}, nil)
		require.NoError(b, s.create(b.ctx, "UNLOGGED"))
		unique := len(query(b, b.pool, `SELECT FROM pg_index WHERE indrelid = 'vendor_erp_sync'::regclass AND indisunique`))
		require.Positive(b, unique)
		require.Greater(b, indexes("vendor_erp_sync"), unique)
		require.Equal(b, unique, indexes("shadow"))
		require.NoError(b, s.makeIndexes(b.ctx))
		require.Equal(b, indexes("vendor_erp_sync"), indexes("shadow"))
	})
}

func TestColumnsOfAreTheTagsAndWideTypes(t *testing.T) {
	t.Parallel()
	type pair struct {
		Name  string        `db:"name"`
		Count *int          `db:"count"`
		State domain.Status `db:"state"`
		At    *time.Time    `db:"at"`
	}
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	names, from, arrays := columnsOf([]pair{{"a", ptr(1), domain.Success, &noon}, {"b", nil, domain.Failed, nil}})
	require.Equal(t, `"name", "count", "state", "at"`, names)
	require.Equal(t, `unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[])`, from)
	require.Equal(t, []any{
		[]string{"a", "b"}, []*int{ptr(1), nil}, []domain.Status{domain.Success, domain.Failed}, []*time.Time{&noon, nil},
	}, arrays)
}

func TestTheLineOfAFact(t *testing.T) {
	t.Parallel()
	at := kafka.TopicPartition{Topic: event.TopicFailed, Partition: 3}
	f := fact{
		Fact: domain.Fact{Sync: domain.Sync{SyncID: 7, Status: domain.Failed, Cause: "evt", Attempts: 2, ErrorCode: domain.ErrorRejected}, Time: began, Error: ptr("no")},
		at:   at, offset: 17, httpStatus: ptr(422), warnings: []string{"a", "b\x00"}, notSent: []string{"c"},
	}
	want := line{
		OccurredAt: began, Topic: event.TopicFailed, Partition: 3, Offset: 17, SyncID: 7, Type: event.TopicFailed, Status: domain.Failed, Attempts: 2,
		HTTPStatus: ptr(422), ErrorCode: domain.ErrorRejected, Error: ptr("no"), Cause: "evt", Warnings: "a\nb\uFFFD", NotSent: "c",
	}
	require.Equal(t, want, lineOf(f))
	require.Equal(t, "vendor_erp_sync_failed/3@17", lineOf(f).where())
	f.Sync.ClosedBy = domain.ClosedByRejected
	require.Equal(t, "rejected", lineOf(f).Cause, "who closed the generation says more than its request")
	f.Sync.ClosedBy, f.Sync.Cause = domain.ClosedByHand, "settle by jane: by phone"
	settled := lineOf(f)
	require.Equal(t, f.Sync.Cause, settled.Cause)
	f.Sync.Cause = ""
	require.Equal(t, "hand", lineOf(f).Cause, "of the record that follows")
	require.True(t, lineOf(f).saysOnlyHand(settled), "0.1.0 wrote this")
	require.False(t, lineOf(f).saysOnlyHand(want))
}

func TestTheRowOfAFoldComesBackAsItWas(t *testing.T) {
	t.Parallel()
	var folded *domain.Row
	for _, f := range success(1) {
		next := domain.Fold(folded, f.Fact)
		folded = &next
		require.Equal(t, next, rowOf(next).domain())
	}
	require.Equal(t, domain.Success, folded.Status)
	require.Nil(t, rowOf(domain.Row{}).ReferenceVersionAt, "without a reference the column is null")
}

// A batch is tried again after a failure of the database. Its dead letters were written before.
func TestABatchThatIsTriedAgainWritesItsDeadLettersOnce(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		p := New(b.cfg, b.pool, quiet)
		spoiled := b.write(&kgo.Record{Topic: b.cfg.Topic(event.TopicSuccess), Key: []byte("1"), Value: []byte("{")})
		entries := []*entry{{at: kafka.TopicPartition{Topic: event.TopicSuccess}, record: spoiled, refused: fmt.Errorf("spoiled")}}
		b.exec(`ALTER TABLE projector_position RENAME TO away`)
		positions := map[kafka.TopicPartition]int64{}
		require.Error(b, p.apply(b.ctx, b.client, positions, entries))
		require.Empty(b, positions, "nothing was applied, so nothing has moved")
		b.exec(`ALTER TABLE away RENAME TO projector_position`)
		require.NoError(b, p.apply(b.ctx, b.client, positions, entries))
		require.Equal(b, map[kafka.TopicPartition]int64{{Topic: event.TopicSuccess}: spoiled.Offset + 1}, positions)
		b.write(&kgo.Record{Topic: b.cfg.Topic(event.TopicDeadLetter), Value: []byte("the next")})
		require.Equal(b, "{", string(b.letter().Value))
		require.Equal(b, "the next", string(b.letter().Value), "a second dead letter of one record")
	})
}

// An outage is in the log once when it begins and once when it ends, not at each try.
func TestAnOutageIsLoggedOnce(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		var log testkit.Log
		p := New(b.cfg, b.pool, slog.New(slog.NewTextHandler(&log, nil)))
		b.exec(`ALTER TABLE vendor_erp_sync RENAME TO away`)
		b.runs(p)
		b.publish(success(0))
		b.within("it stands still", func() bool { return strings.Contains(log.String(), "the projection stands still") })
		b.exec(`ALTER TABLE away RENAME TO vendor_erp_sync`)
		b.within("it goes on", func() bool { return strings.Contains(log.String(), "the projection goes on") })
		require.Equal(b, domain.Success, b.status(0))
		require.Equal(b, 1, strings.Count(log.String(), "the projection stands still"))
		require.Equal(b, 1, strings.Count(log.String(), "the projection goes on"))
	})
}
