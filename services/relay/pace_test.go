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
					p, began, done := newPace(), time.Now(), -backlog
					const seconds = 4
					transactions := 0
					for time.Since(began) < seconds*time.Second {
						looked := time.Now()
						rows := int(time.Since(began)*time.Duration(c.rate)/time.Second) - done
						if rows == 0 {
							time.Sleep(time.Second / time.Duration(c.rate))
							continue
						}
						if time.Since(began) >= seconds*time.Second/2 {
							transactions++
						}
						p.begins(rows, looked)
						time.Sleep(c.took)
						p.ended()
						require.True(t, p.sleep(t.Context()))
						done += rows
					}
					between := seconds * time.Second / 2 / time.Duration(transactions)
					require.InDelta(t, c.between, between, float64(c.between)/20)
				})
			})
		}
	}
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
