package e2e

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
)

// whereabouts says where an order's records are, how far the groups have read, and what the product's goroutines wait for:
// what a test that failed once in a hundred runs needs to say the first time.
func (p *product) whereabouts(order string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), 5*time.Second)
	defer cancel()
	var b strings.Builder
	for _, level := range []kgo.IsolationLevel{kgo.ReadCommitted(), kgo.ReadUncommitted()} {
		_, _ = fmt.Fprintf(&b, "records, isolation level %v:\n", level)
		p.recordsOf(ctx, &b, order, level)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...))
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	for _, group := range []event.Group{event.GroupSyncer, event.GroupDelayer} {
		offsets, err := kadm.NewClient(client).FetchOffsets(ctx, p.cfg.TopicPrefix+string(group))
		_, _ = fmt.Fprintln(&b, "group", group, err)
		for _, o := range offsets.Sorted() {
			if o.At > 0 {
				_, _ = fmt.Fprintln(&b, " ", o.Topic, o.Partition, "at", o.At, o.Metadata)
			}
		}
	}
	var stacks bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
	for stack := range strings.SplitSeq(stacks.String(), "\n\n") {
		if strings.Contains(stack, "/services/syncer") || strings.Contains(stack, "/services/delayer") {
			_, _ = fmt.Fprintln(&b, stack)
		}
	}
	return b.String()
}

func (p *product) recordsOf(ctx context.Context, b *strings.Builder, order string, level kgo.IsolationLevel) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var topics []string
	for _, g := range []event.Group{event.GroupSyncer, event.GroupDelayer, event.GroupProjector} {
		for _, topic := range event.TopicsOf(g) {
			topics = append(topics, p.cfg.TopicPrefix+topic)
		}
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(level))
	if err != nil {
		return
	}
	defer client.Close()
	for ctx.Err() == nil {
		client.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			if string(r.Key) == order {
				_, _ = fmt.Fprintln(b, " ", r.Timestamp.UTC().Format("15:04:05.000"), r.Topic, r.Partition, r.Offset)
			}
		})
	}
}
