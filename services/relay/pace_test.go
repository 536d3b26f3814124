package relay

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Rows come steadily. However the relay began, with a row or with many, its transactions follow each other at the same pace.
func TestThePaceFollowsFromTheRate(t *testing.T) {
	for _, c := range []struct {
		rate    int // rows a second
		took    time.Duration
		between time.Duration // from the beginning of a transaction to the next
	}{
		{rate: 50, took: 4 * time.Millisecond, between: 20 * time.Millisecond}, // one for each row, at once
		{rate: 2_000, took: 2 * time.Millisecond, between: 2 * time.Millisecond},
		{rate: 2_000, took: 5 * time.Millisecond, between: 5 * time.Millisecond},
		{rate: 2_000, took: 10 * time.Millisecond, between: 10*time.Millisecond + maxRest},
		{rate: 4_000, took: 3 * time.Millisecond, between: 3 * time.Millisecond},
		{rate: 4_000, took: 5 * time.Millisecond, between: 20 * time.Millisecond},
	} {
		for _, backlog := range []int{0, 15, 500} {
			t.Run(fmt.Sprintf("%d rows a second, %s, %d first", c.rate, c.took, backlog), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					require.InDelta(t, c.between, relaysFor(t, c.rate, c.took, backlog), float64(c.between)/20)
				})
			})
		}
	}
}

// relaysFor some seconds rows that come at a rate, after a backlog. It gives the time between two transactions in the second half.
func relaysFor(t *testing.T, rate int, took time.Duration, backlog int) time.Duration {
	t.Helper()
	const half = 2 * time.Second
	p, began, done, transactions := newPace(), time.Now(), -backlog, 0
	for time.Since(began) < 2*half {
		looked := time.Now()
		rows := int(looked.Sub(began)*time.Duration(rate)/time.Second) - done
		if rows == 0 {
			time.Sleep(time.Second / time.Duration(rate))
			continue
		}
		if looked.Sub(began) >= half {
			transactions++
		}
		p.begins(rows, looked)
		time.Sleep(took)
		p.ended()
		require.True(t, p.sleep(t.Context()))
		done += rows
	}
	return half / time.Duration(transactions)
}

// After a pause even a large batch is not a rate.
func TestNoRestAfterOneLargeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		for range 3 {
			p.begins(100, time.Now())
			time.Sleep(5 * time.Millisecond)
			p.ended()
			began := time.Now()
			require.True(t, p.sleep(t.Context()))
			require.Equal(t, began, time.Now())
			time.Sleep(time.Second)
		}
	})
}
