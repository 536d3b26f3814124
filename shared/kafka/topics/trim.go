package topics

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	trimInterval = time.Minute      // a retry topic grows by a minute's retries at most
	trimTimeout  = 30 * time.Second // of one round
)

// Trim deletes consumed records of the retry tiers and the due topic, once a minute until ctx ends. The last record
// always stays: in an empty log a group's position could not be checked. Any number of processes may trim.
func Trim(ctx context.Context, cfg kafka.Config, log *slog.Logger) {
	client, err := kgo.NewClient(cfg.Options()...)
	if err != nil {
		log.Error("retry topics are not trimmed; they grow", "error", err)
		return
	}
	defer client.Close()
	tick := time.NewTicker(trimInterval)
	defer tick.Stop()
	outage := run.Outage{Began: "retry topics are not trimmed; trying on", Ended: "retry topics are trimmed again"}
	for {
		err := trim(ctx, cfg, kadm.NewClient(client))
		if ctx.Err() == nil {
			outage.Report(log, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// trim is one round. It deletes below the committed positions only, so a reader can never miss a record by it.
func trim(ctx context.Context, cfg kafka.Config, adm *kadm.Client) error {
	ctx, cancel := context.WithTimeout(ctx, trimTimeout)
	defer cancel()
	consumed := kadm.Offsets{}
	for _, g := range groups {
		if err := consumedBy(ctx, cfg, adm, g, consumed); err != nil {
			return err
		}
	}
	if len(consumed) == 0 {
		return nil
	}
	deleted, err := adm.DeleteRecords(ctx, consumed)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		return fmt.Errorf("deleting consumed records: %w", err)
	}
	return nil
}

// consumedBy adds the position of the group for each partition whose consumed records are not kept.
func consumedBy(ctx context.Context, cfg kafka.Config, adm *kadm.Client, g event.Group, into kadm.Offsets) error {
	positions, err := adm.FetchOffsets(ctx, cfg.Group(string(g)))
	if err == nil {
		err = positions.Error()
	}
	if err != nil {
		return fmt.Errorf("reading the positions of group %s: %w", g, err)
	}
	var topics []string
	for _, t := range event.Topics() {
		if t.Retention == event.KeepConsumed && len(t.ReadBy) == 1 && t.ReadBy[0] == g {
			topics = append(topics, cfg.Topic(t.Name))
		}
	}
	if len(topics) == 0 {
		return nil
	}
	starts, ends, err := kafka.Bounds(ctx, adm, topics)
	if err != nil {
		return err
	}
	for _, end := range ends.Offsets().Sorted() {
		at, known := positions.Lookup(end.Topic, end.Partition)
		start, _ := starts.Lookup(end.Topic, end.Partition)
		if upTo := min(at.At, end.At-1); known && upTo > start.Offset {
			into.AddOffset(end.Topic, end.Partition, upTo, -1)
		}
	}
	return nil
}
