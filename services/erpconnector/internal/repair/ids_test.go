package repair

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/checkpoint"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// The last free ids up to the position are given out in their order, whatever rows there are.
func TestFreePlaces(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		_, err := pool.Exec(ctx, `TRUNCATE erp_outbox`)
		require.NoError(t, err)
		rows := rapid.SliceOfDistinct(rapid.Int64Range(1, 30), rapid.ID).Draw(t, "rows")
		_, err = pool.Exec(ctx, `INSERT INTO erp_outbox (id, topic, key, uuid, metadata, payload) SELECT i, '', '', '', '{}', '' FROM unnest($1::bigint[]) AS i`, rows)
		require.NoError(t, err)
		last := rapid.Int64Range(1, 30).Draw(t, "position")
		var free []int64
		for id := range last {
			if !slices.Contains(rows, id+1) {
				free = append(free, id+1)
			}
		}
		n := rapid.IntRange(0, 31).Draw(t, "lost")
		r := &repairer{Params: Params{Pool: pool}, report: &Report{Position: checkpoint.Position{LastID: last}}}
		got, err := r.freePlaces(ctx, n)
		if n > len(free) {
			require.ErrorContains(t, err, fmt.Sprint(n-len(free)))
			return
		}
		require.NoError(t, err)
		for place, id := range free[len(free)-n:] {
			require.Equal(t, id, got.at(place))
		}
	})
}
