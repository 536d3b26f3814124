package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

// Rows of any sizes come once, whole and in their order, in batches that are as large as the limits let them be.
func TestRowsOfAnySizeComeInBatchesUpToTheLimits(t *testing.T) {
	t.Parallel()
	ctx, pool := context.Background(), database(t)
	rapid.Check(t, func(t *rapid.T) {
		at, err := outbox.LastID(ctx, pool)
		require.NoError(t, err)
		limits := outbox.Limits{Rows: rapid.IntRange(1, 8).Draw(t, "rows"), Bytes: rapid.SampledFrom([]int{1, 3000, 20_000, 100_000, 1 << 20}).Draw(t, "bytes")}
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 100, 1000, 16<<10 - 1, 16 << 10, 20_000, 70_000}), 1, 40).Draw(t, "sizes")
		want := make([]event.Record, len(sizes))
		for i, size := range sizes {
			want[i] = record("a", fmt.Sprint(i), fmt.Sprint("u", i))
			want[i].Value = bytes.Repeat([]byte{byte(i)}, size)
		}
		require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return outbox.Publish(ctx, tx, want) }))

		reader, cursor, got := outbox.NewReader(pool, limits), outbox.Cursor{After: at}, []event.Record{}
		for len(got) < len(want) {
			batch, err := reader.Next(ctx, cursor)
			require.NoError(t, err)
			require.NotEmpty(t, batch.Rows)
			require.LessOrEqual(t, len(batch.Rows), limits.Rows)
			size := 0
			for _, row := range batch.Rows {
				require.Less(t, size, limits.Bytes, "it has a row too many")
				size += len(row.Payload)
				got = append(got, outbox.FromMessage(row.Topic, row.Message()))
			}
			if !batch.Full {
				require.Len(t, got, len(want), "more rows wait than the batch says")
			}
			cursor = batch.Next
		}
		require.Equal(t, want, got)
	})
}

// pages notes how many rows each read asks for.
type pages struct {
	*pgxpool.Pool

	asked []int
}

func (p *pages) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	p.asked = append(p.asked, args[1].(int)) //nolint:forcetypeassert // a page's rows are its second argument
	return p.Pool.Query(ctx, query, args...)
}

// Postgres is asked for few more rows than the limit of bytes takes, once the reader has seen how large they are, and for more again
// where they are smaller.
func TestAPageFollowsTheSizeOfTheRows(t *testing.T) {
	t.Parallel()
	ctx, on := ctxOf(t), &pages{Pool: database(t)}
	for _, part := range []struct{ rows, bytes int }{{60, 10_000}, {1000, 10}} {
		recs := make([]event.Record, part.rows)
		for i := range recs {
			recs[i] = record("a", "k", "u")
			recs[i].Value = bytes.Repeat([]byte("x"), part.bytes)
		}
		require.NoError(t, pgx.BeginFunc(ctx, on, func(tx pgx.Tx) error { return outbox.Publish(ctx, tx, recs) }))
	}
	r, came := &reading{t: t, reader: outbox.NewReader(on, outbox.Limits{Rows: 400, Bytes: 100_000})}, []int{}
	for r.at.After < 1060 {
		came = append(came, len(r.next()))
	}
	require.Equal(t, []int{400, 13, 13, 13, 13, 13, 13, 26, 52, 104, 208, 400, 400}, on.asked)
	require.Equal(t, []int{10, 10, 10, 10, 10, 10, 13, 26, 52, 104, 208, 400, 197}, came)
}
