package txn

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Symptom: a transaction was aborted, and the client said that it was committed. The client stores the partitions of a
// new topic only after it has sent the first records, and the transaction ended in between. On the embedded broker,
// which answers at once, that happened to one of some dozens.
func TestTheFirstTransactionOfATopicIsCommittedWhenItSaysSo(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		const topics, rounds = 8, 12
		for i := range topics {
			b.Topic(fmt.Sprint("new", i), 1)
		}
		position := int64(0)
		for range rounds {
			p := NewProducer(b.Cfg, "p") // it knows no topic yet
			for i := range topics {
				position++
				batch := Batch{Records: []*kgo.Record{b.Record(fmt.Sprint("new", i), "first")}}
				batch.Offsets = b.offsets(m, position, "")
				require.NoError(b, p.Commit(b.Ctx, batch))
				at, _ := b.Committed("g", "in")
				require.Equal(b, position, at)
			}
			p.Close()
		}
	})
}
