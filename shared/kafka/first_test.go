package kafka_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/kafka"
)

// The client stores the partitions of a topic that is new to it only after it has let the first records go. A
// transaction that ended in between was aborted, and the client said that it was committed: on the embedded broker,
// which answers at once, one in some dozens.
func TestTheFirstTransactionOfATopicIsCommittedWhenItSaysSo(t *testing.T) {
	onBrokers(t, func(b *bench) {
		m, _ := consuming(b)
		const topics, rounds = 8, 12
		for i := range topics {
			b.topic(fmt.Sprint("new", i), 1)
		}
		position := int64(0)
		for range rounds {
			p := kafka.NewTxnProducer(b.cfg, "p") // it knows no topic yet
			for i := range topics {
				position++
				batch := kafka.Batch{Records: []*kgo.Record{b.record(fmt.Sprint("new", i), "first")}}
				batch.Offsets = []kafka.GroupOffsets{b.offsets(m, position, "")}
				require.NoError(b, p.Commit(b.ctx, batch))
				at, _ := b.committed("g", "in")
				require.Equal(b, position, at)
			}
			p.Close()
		}
	})
}
