package api

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Whatever orders share a query, in whatever order and how often, each is told what it is told alone.
func TestOrdersThatShareAQueryAreToldTheirOwn(t *testing.T) {
	t.Parallel()
	pool := testkit.Postgres(t).Pool
	c := &caller{t: t, pool: pool}
	c.orders()
	c.accepted(open(domain.OrderRef{Source: "outlet", IncrementID: "1"}, 9)) // in the gate only
	statuses := newStatusReads(pool, pace.NewStore(pool), setting.Fixed(setting.Defaults()), slog.New(slog.DiscardHandler))
	var alone []statusRead
	for _, shop := range []string{"default", "outlet"} {
		for id := range 5 { // 0 is unknown
			one := &statusRead{of: domain.OrderRef{Source: shop, IncrementID: fmt.Sprint(id)}}
			require.NoError(t, statuses.readAll(t.Context(), []*statusRead{one}))
			alone = append(alone, *one)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		asked := rapid.SliceOfN(rapid.SampledFrom(alone), 1, 20).Draw(rt, "asked")
		var together []*statusRead
		for _, one := range asked {
			together = append(together, &statusRead{of: one.of})
		}
		require.NoError(rt, statuses.readAll(t.Context(), together))
		for i, one := range together {
			require.Equal(rt, asked[i], *one)
		}
	})
}
