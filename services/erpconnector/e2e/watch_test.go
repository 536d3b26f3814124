package e2e

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// watch is a read_committed subscriber of all topics that notes when records came; beside that it looks how long open
// transactions hide what follows them.
type watch struct {
	mu     sync.Mutex
	came   map[string][]time.Time // by topic, without the prefix
	hidden map[string]time.Duration
}

func startWatch(t *testing.T, cfg kafka.Config) *watch {
	t.Helper()
	w := &watch{came: map[string][]time.Time{}, hidden: map[string]time.Duration{}}
	var topics []string
	for _, topic := range event.Topics() {
		topics = append(topics, cfg.Topic(topic.Name))
	}
	client, err := kgo.NewClient(append(cfg.Options(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { w.read(ctx, client, cfg.Prefix) })
	watching.Go(func() { w.sample(ctx, kadm.NewClient(client), topics) })
	t.Cleanup(func() { cancel(); watching.Wait(); client.Close() })
	return w
}

func (w *watch) read(ctx context.Context, client *kgo.Client, prefix string) {
	for ctx.Err() == nil {
		fetches := client.PollFetches(ctx)
		now := time.Now()
		w.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			topic := strings.TrimPrefix(r.Topic, prefix)
			w.came[topic] = append(w.came[topic], now)
		})
		w.mu.Unlock()
	}
}

// sample looks how long each partition's last stable offset stands still below its end.
func (w *watch) sample(ctx context.Context, adm *kadm.Client, topics []string) {
	type place struct {
		stable int64
		since  time.Time
	}
	at := map[string]map[int32]place{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		ends, err1 := adm.ListEndOffsets(ctx, topics...)
		stable, err2 := adm.ListCommittedOffsets(ctx, topics...)
		now := time.Now()
		if err1 == nil && err2 == nil {
			stable.Each(func(o kadm.ListedOffset) {
				if at[o.Topic] == nil {
					at[o.Topic] = map[int32]place{}
				}
				before, end := at[o.Topic][o.Partition], offsetOf(ends, o)
				if o.Offset >= end || o.Offset != before.stable {
					at[o.Topic][o.Partition] = place{o.Offset, now}
					return
				}
				w.mu.Lock()
				w.hidden[o.Topic] = max(w.hidden[o.Topic], now.Sub(before.since))
				w.mu.Unlock()
			})
		}
		<-tick.C
	}
}

func offsetOf(ends kadm.ListedOffsets, o kadm.ListedOffset) int64 {
	end, _ := ends.Lookup(o.Topic, o.Partition)
	return end.Offset
}

// busy are the topics with records in the time before now.
func (w *watch) busy(within time.Duration) (topics []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from := time.Now().Add(-within)
	for _, topic := range slices.Sorted(maps.Keys(w.came)) {
		if w.came[topic][len(w.came[topic])-1].After(from) {
			topics = append(topics, topic)
		}
	}
	return topics
}

// cameSince reports whether each topic had a record after a time.
func (w *watch) cameSince(topics []string, at time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range topics {
		if !w.came[topic][len(w.came[topic])-1].After(at) {
			return false
		}
	}
	return true
}

// longestStall is the longest time without a record that touches the time from at on, and its topic.
func (w *watch) longestStall(topics []string, at time.Time) (stall time.Duration, of string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range topics {
		came := append(slices.Clone(w.came[topic]), time.Now())
		for i := 1; i < len(came); i++ {
			if gap := came[i].Sub(came[i-1]); came[i].After(at) && gap > stall {
				stall, of = gap, topic
			}
		}
	}
	return stall, of
}

// longestHidden is the longest time an open transaction hid a partition's records since the last call.
func (w *watch) longestHidden() (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.hidden {
		longest = max(longest, d)
	}
	clear(w.hidden)
	return longest
}
