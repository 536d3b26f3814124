package checkpoint

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/outbox"
)

func TestLane(t *testing.T) {
	t.Parallel()
	cfg := kafka.Config{Prefix: "p."}
	const partitions = 6
	for _, key := range []string{"000000001", "000000002", "shop/000000001"} {
		want := strconv.Itoa(int(cfg.PartitionOf(cfg.Topic(event.TopicRequested), []byte(key), partitions)))
		for _, topic := range []string{event.TopicRequested, event.TopicSuccess, event.TopicDue} {
			require.Equal(t, want, Lane(cfg, topic, key, partitions), "an order has one lane in all keyed topics: %s", topic)
		}
		require.Equal(t, "warehouse_picked", Lane(cfg, "warehouse_picked", key, partitions), "another topic is a lane of its own")
	}
	require.Equal(t, "4", LaneOfPartition(4))
}

func TestALaneThatIsBehind(t *testing.T) {
	t.Parallel()
	cfg := kafka.Config{}
	const partitions = 6
	behind := Lane(cfg, event.TopicRequested, "a", partitions)
	other := ""
	for i := 0; other == "" || Lane(cfg, event.TopicRequested, other, partitions) == behind; i++ {
		other = strconv.Itoa(i)
	}
	p := Position{LastID: 50, Behind: map[string]int64{behind: 20, "warehouse_picked": 30}}
	require.Equal(t, int64(20), p.UpTo(behind))
	require.Equal(t, int64(50), p.UpTo(Lane(cfg, event.TopicRequested, other, partitions)))

	for name, c := range map[string]struct {
		topic, key string
		id         int64
		waits      bool
	}{
		"the last row that is in Kafka":   {event.TopicRequested, "a", 20, false},
		"the first that was passed over":  {event.TopicRequested, "a", 21, true},
		"the last that was passed over":   {event.TopicRequested, "a", 50, true},
		"a row that was not read yet":     {event.TopicRequested, "a", 51, false},
		"another topic of the same lane":  {event.TopicSuccess, "a", 21, true},
		"another lane":                    {event.TopicRequested, other, 21, false},
		"a topic that is a lane itself":   {"warehouse_picked", "any", 31, true},
		"that topic's rows before":        {"warehouse_picked", "any", 30, false},
		"another topic that is no lane's": {"warehouse_packed", "any", 31, false},
	} {
		require.Equal(t, c.waits, p.Waits(cfg, c.topic, c.key, c.id, partitions), name)
	}
	require.False(t, Position{LastID: 50}.Waits(cfg, event.TopicRequested, "a", 21, partitions), "no lane is behind")

	p.Open = outbox.Gaps{{First: 5, Last: 6}}
	require.True(t, p.Waits(cfg, event.TopicRequested, other, 6, partitions), "a row that came late")
	require.False(t, p.Waits(cfg, event.TopicRequested, other, 7, partitions))
}
