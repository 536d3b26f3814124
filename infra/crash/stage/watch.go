package stage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Watch is a reader of committed records of all topics. It records when it got each one.
type Watch struct {
	client  *kgo.Client
	prefix  string
	cancel  context.CancelFunc
	reading sync.WaitGroup

	mu        sync.Mutex // guards what follows
	sightings []history.Sighting
	latest    time.Time // of a record about an order
	outcomes  map[int32]time.Time
}

// StartWatch reads every topic with the prefix from its start.
func StartWatch(ctx context.Context, brokers []string, prefix string) (*Watch, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	topics, err := kadm.NewClient(client).ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, prefix) {
			client.AddConsumeTopics(name)
		}
	}
	w := &Watch{client: client, prefix: prefix, latest: time.Now(), outcomes: map[int32]time.Time{}}
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.reading.Go(func() { w.read(ctx) })
	return w, nil
}

// read ignores errors: the client reconnects by itself when the broker is back.
func (w *Watch) read(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := w.client.PollFetches(ctx)
		now := time.Now()
		w.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			topic := strings.TrimPrefix(r.Topic, w.prefix)
			w.sightings = append(w.sightings, history.Sighting{Topic: topic, Partition: r.Partition, Offset: r.Offset, At: now.UTC()})
			if !strings.HasSuffix(topic, "_position") {
				w.latest = now
			}
			if topic == outcomes {
				w.outcomes[r.Partition] = now
			}
		})
		w.mu.Unlock()
		if fetches.Err() != nil {
			run.Sleep(ctx, 20*time.Millisecond)
		}
	}
}

// Sightings returns what it got so far.
func (w *Watch) Sightings() []history.Sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sightings)
}

// SinceLastRecord returns how long no record about an order came.
func (w *Watch) SinceLastRecord() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.latest)
}

// outcomes is the topic that has a record of each call.
const outcomes = "vendor_erp_sync_after_send"

// SinceOutcome returns how long no outcome came in a partition.
func (w *Watch) SinceOutcome(partition int32) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Since(w.outcomes[partition])
}

// Close ends the reading.
func (w *Watch) Close() {
	w.cancel()
	w.reading.Wait()
	w.client.Close()
}
