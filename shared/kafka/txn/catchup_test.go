package txn

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Symptom: a thousand records of one flow that could not begin held up all others of their partition.
func TestAFlowWithoutRoomDelaysNoOtherAndLosesNothing(t *testing.T) {
	onBrokers(t, func(b *bench) {
		const noisy = 3000 // many times what waits in memory
		prepared(b)
		var want []string
		var records []*kgo.Record
		for i := range noisy {
			want = append(want, fmt.Sprint("noisy ", i))
			records = append(records, b.Record("in", want[i]+strings.Repeat(" ", 200)))
		}
		require.NoError(b, b.Client.ProduceSync(b.Ctx, records...).FirstErr())
		b.send("other 1")
		var room atomic.Int64
		var refused atomic.Bool
		network := &fetchLog{}
		byName := func(config *Config, c *copier) {
			config.Kafka.Dial = network.dial
			config.FlowOf = func(r *kgo.Record) Flow {
				name, _, _ := strings.Cut(string(r.Value), " ")
				return FlowOf(name)
			}
			c.room = func(t *Task) bool {
				taken := !strings.HasPrefix(string(t.Record.Value), "noisy") || room.Add(-1) >= 0
				if !taken {
					refused.Store(true)
				}
				return taken
			}
		}
		_, _, stop := copySession(b.Bench, quiet, byName)
		require.Equal(b, []string{"other 1"}, b.copied(1))
		stop()
		at, metadata := b.Committed("g", "in")
		require.Zero(b, at)
		require.NotEmpty(b, metadata)

		room.Store(1500)
		_, _, stop = copySession(b.Bench, quiet, byName)
		require.Len(b, b.copied(1501), 1501, "though its reading is at the end of the log, and nothing comes")
		b.send("other 2")
		require.Len(b, b.copied(1502), 1502)
		b.send("other 3")
		require.Len(b, b.copied(1503), 1503)
		stop()
		again, behind := network.readAgain()
		require.Positive(b, again)
		require.Zero(b, behind, "reading again must not wait for a fetch that waits for records")
		room.Store(0)
		refused.Store(false)
		copySession(b.Bench, quiet, byName)
		b.Within("a record is offered, and not taken", refused.Load)
		room.Store(noisy)
		require.Len(b, b.copied(noisy+3), noisy+3, "though nothing comes, and nothing is committed")
		b.send("other 4")
		got := b.copied(noisy + 4)
		for i, v := range got {
			got[i] = strings.TrimSpace(v)
		}
		others := func(v string) bool { return strings.HasPrefix(v, "other") }
		require.Len(b, slices.DeleteFunc(slices.Clone(got), func(v string) bool { return !others(v) }), 4)
		require.Equal(b, want, slices.DeleteFunc(got, others), "each once, in their order")
		b.Within("nothing is behind", func() bool {
			b.send("pass")
			at, metadata := b.Committed("g", "in")
			return at > noisy && metadata == ""
		})
	})
}
