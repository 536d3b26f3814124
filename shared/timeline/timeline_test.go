package timeline

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// rapidContext is for the properties, whose checks have no context of their own.
var rapidContext = context.Background()

var (
	ref = domain.OrderRef{Source: domain.DefaultSource, IncrementID: "000000123"}
	day = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
)

// putGate puts the gate of an order; a sync id of 0 stands for an order that nobody has asked to sync.
func putGate(t *testing.T, pool *pgxpool.Pool, ref domain.OrderRef, syncID int64) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `
		INSERT INTO erp_sync_gate (order_key, source, increment_id, sync_id, generation, state, idempotency_key, updated_at)
		VALUES ($1, $2, $3, nullif($4, 0), least($4, 1), CASE WHEN $4 = 0 THEN 'none' ELSE 'open' END, 'ERP', now())`,
		ref.Key(), ref.Source, ref.IncrementID, syncID)
	require.NoError(t, err)
}

// putFact puts a fact as the projector does: lists are lines of one text.
func putFact(t require.TestingT, pool *pgxpool.Pool, syncID int64, f Fact, warnings, notSent *string) {
	_, err := pool.Exec(rapidContext, `
		INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts,
			http_status, error_code, error, cause, warnings, not_sent)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
		f.OccurredAt, f.Topic, f.Partition, f.Offset, syncID, f.Version, f.Type, f.Status, f.Attempts,
		f.HTTPStatus, f.ErrorCode, f.Error, f.Cause, warnings, notSent)
	require.NoError(t, err)
}

func read(t *testing.T, pool *pgxpool.Pool, ref domain.OrderRef, limit int) Page {
	t.Helper()
	p, err := Read(t.Context(), pool, ref, Cursor{}, limit)
	require.NoError(t, err)
	for i := range p.Facts {
		p.Facts[i].OccurredAt = p.Facts[i].OccurredAt.UTC()
	}
	return p
}

func TestReadGivesEachFieldOfAFact(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	putGate(t, pool, ref, 7)
	failed := Fact{
		OccurredAt: day.Add(time.Second), Version: 12, Topic: "erp_order_sync_failed", Partition: 3, Offset: 41, Type: "failed",
		Status: domain.Failed, Attempts: 2, HTTPStatus: new(503), ErrorCode: new("HTTP_5XX"), Error: new("no answer"), Cause: new("the ERP"),
	}
	requested := Fact{OccurredAt: day, Version: 11, Topic: "erp_order_sync_requested", Type: "requested", Status: domain.Pending}
	empty := requested
	empty.OccurredAt, empty.ErrorCode, empty.Cause = day.Add(2*time.Second), new(""), new("")
	putFact(t, pool, 7, failed, nil, nil)
	putFact(t, pool, 7, requested, new("no email\nno name"), new("a gift card"))
	putFact(t, pool, 7, empty, nil, nil)
	putFact(t, pool, 8, Fact{OccurredAt: day, Topic: "of_another_order", Status: domain.Pending}, nil, nil)

	requested.Warnings, requested.NotSent = []string{"no email", "no name"}, []string{"a gift card"}
	empty.ErrorCode, empty.Cause = nil, nil // the empty text is none
	require.Equal(t, Page{SyncID: 7, Facts: []Fact{requested, failed, empty}}, read(t, pool, ref, 3))
}

// An order without a sync is told from one whose facts the projector has yet to write.
func TestReadTellsAnUnknownOrderFromOneWithoutFacts(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	_, err := Read(t.Context(), pool, ref, Cursor{}, 10)
	require.ErrorIs(t, err, ErrUnknown)
	placedOnly := domain.OrderRef{Source: "outlet", IncrementID: "1"}
	putGate(t, pool, placedOnly, 0)
	_, err = Read(t.Context(), pool, placedOnly, Cursor{}, 10)
	require.ErrorIs(t, err, ErrUnknown)
	putGate(t, pool, ref, 7)
	require.Equal(t, Page{SyncID: 7, Facts: []Fact{}}, read(t, pool, ref, 10))
	pool.Close()
	_, err = Read(t.Context(), pool, ref, Cursor{}, 10)
	require.ErrorContains(t, err, "reading the gate of order 000000123")
}

// Pages of any size give each fact once and in one order, also among facts of one moment and one version.
func TestPagesGiveEachFactOnceAndInOrder(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	putGate(t, pool, ref, 7)
	rapid.Check(t, func(t *rapid.T) {
		_, err := pool.Exec(rapidContext, `DELETE FROM vendor_erp_sync_event`)
		require.NoError(t, err)
		count := rapid.IntRange(0, 12).Draw(t, "facts")
		for i := range count {
			putFact(t, pool, 7, Fact{
				OccurredAt: day.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "moment")) * time.Microsecond),
				Version:    domain.Version(rapid.IntRange(1, 3).Draw(t, "version")),
				Topic:      rapid.SampledFrom([]string{"erp_order_sync", "retry"}).Draw(t, "topic"),
				Partition:  int32(rapid.IntRange(0, 1).Draw(t, "partition")),
				Offset:     int64(i), Status: domain.Pending,
			}, nil, nil)
		}
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		var facts []Fact
		for after := (Cursor{}); ; {
			p, err := Read(rapidContext, pool, ref, after, limit)
			require.NoError(t, err)
			facts = append(facts, p.Facts...)
			require.LessOrEqual(t, len(facts), count, "a fact came twice")
			if p.Next == nil {
				break
			}
			require.Len(t, p.Facts, limit, "only the last page is short")
			after, err = ParseCursor(p.Next.String())
			require.NoError(t, err)
			require.Equal(t, *p.Next, after)
		}
		require.Len(t, facts, count)
		require.True(t, slices.IsSortedFunc(facts, func(a, b Fact) int {
			if c := a.OccurredAt.Compare(b.OccurredAt); c != 0 {
				return c
			}
			return int(a.Version - b.Version)
		}), "%v", facts)
	})
}

func TestParseCursorRefusesWhatNoPageGave(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "x", "1.2.topic.3", "1.2.topic.3.4.5", "a.2.topic.3.4", "1.b.topic.3.4", "1.2.topic.c.4", "1.2.topic.3.d", "-1.2.topic.3.4",
		"1.2.Topic.3.4", "1.2.to'pic.3.4", "1.2.topic.2147483648.4", "253370764800000001.2.topic.3.4", "1.2.topic.3.9223372036854775808",
	} {
		_, err := ParseCursor(text)
		require.EqualError(t, err, "is no cursor; give the next of an earlier page, or leave it out to begin with the oldest", text)
	}
	last, err := ParseCursor("253370764800000000.2.erp_order_sync.3.4")
	require.NoError(t, err)
	require.Equal(t, "253370764800000000.2.erp_order_sync.3.4", last.String())
}
