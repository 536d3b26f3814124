// Package event is the contract between the services and with subscribers: the topics, the record form (a CloudEvent in
// Kafka binary mode that is also a Watermill message), the JSON values, their schemas and golden files.
// Fields are added, never changed.
package event

import (
	"fmt"
	"slices"
	"time"
)

// The topics, without the configurable prefix. They are the module's event names.
const (
	TopicSalesOrder = "sales_order_event"
	TopicRequested  = "vendor_erp_sync_requested"
	TopicCallback   = "vendor_erp_sync_callback"
	TopicBeforeSend = "vendor_erp_sync_before_send"
	TopicAfterSend  = "vendor_erp_sync_after_send"
	TopicSuccess    = "vendor_erp_sync_success"
	TopicFailed     = "vendor_erp_sync_failed"
	TopicDue        = "vendor_erp_sync_due"
	TopicDeadLetter = "vendor_erp_sync_dead_letter"
	TopicPosition   = "vendor_erp_sync_position"
)

// RetryTier is one of the retry topics: a record waits there no longer than Delay at a time.
type RetryTier struct {
	Topic string
	Delay time.Duration
}

// RetryTiers lists the tiers from the shortest to the longest; each delay is four times the one before.
var RetryTiers = func() []RetryTier {
	var tiers []RetryTier
	for seconds := 1; seconds <= 4096; seconds *= 4 {
		tiers = append(tiers, RetryTier{
			Topic: fmt.Sprintf("vendor_erp_sync_retry_%ds", seconds),
			Delay: time.Duration(seconds) * time.Second,
		})
	}
	return tiers
}()

// RetryTierFor is the topic in which a retry waits next: the one with the longest delay that ends before the due time; the shortest
// one when less than its delay is left; _due when the time has come.
func RetryTierFor(due, now time.Time) string {
	left := due.Sub(now)
	if left <= 0 {
		return TopicDue
	}
	topic := RetryTiers[0].Topic
	for _, r := range RetryTiers {
		if r.Delay <= left {
			topic = r.Topic
		}
	}
	return topic
}

// Group is a consumer group, without the configurable prefix.
type Group string

// The consumer groups.
const (
	GroupSyncer    Group = "erpconnector-syncer"
	GroupDelayer   Group = "erpconnector-delayer"
	GroupProjector Group = "erpconnector-projector"
)

// Retention says how long a topic keeps records.
type Retention int

// The kinds of retention.
const (
	KeepForever   Retention = iota // the log: replay and rebuild read it from offset zero
	KeepConsumed                   // no time limit; trimmed below the committed offset, but never to empty
	KeepLatestKey                  // compacted
)

// MaxRecordBytes is the max.message.bytes of every topic. It follows from MaxEventBytes: before_send carries the order
// (1 MiB) and the payload, which has fields the order may leave out (at most 3 times its length) and grows again as JSON
// text (by a fifth); after_send carries a response of 64 KiB (each byte at most 6 when escaped). size_test.go measures.
const MaxRecordBytes = 8 << 20

// MaxEventBytes is the largest commerce event that is taken.
const MaxEventBytes = 1 << 20

// Topic describes one topic.
type Topic struct {
	Name      string
	Keyed     bool // by order: has the common partition count
	Retention Retention
	Purpose   string
	WrittenBy string
	ReadBy    []Group
}

// Topics lists every topic, in the order of the flow.
func Topics() []Topic {
	topics := []Topic{
		{TopicSalesOrder, true, KeepForever, "every commerce event as accepted", "accept, by the outbox and the relay", nil},
		{TopicRequested, true, KeepForever, "a sync was requested, held or released", "accept and the API, by the outbox and the relay", []Group{GroupSyncer, GroupProjector}},
		{TopicCallback, true, KeepForever, "the ERP or an operator settled a sync; or its record became a dead letter, or was sent back", "the API and the projector, by the outbox and the relay", []Group{GroupProjector}},
		{TopicBeforeSend, true, KeepForever, "the ERP is about to be called; may repeat under the same ce_id", "syncer", []Group{GroupProjector}},
		{TopicAfterSend, true, KeepForever, "the ERP's answer, and the decision to retry", "syncer", []Group{GroupProjector}},
		{TopicSuccess, true, KeepForever, "the ERP has the order", "syncer", []Group{GroupProjector}},
		{TopicFailed, true, KeepForever, "the sync ended without success", "syncer", []Group{GroupProjector}},
	}
	for _, r := range RetryTiers {
		topics = append(topics, Topic{
			r.Topic, true, KeepConsumed, fmt.Sprintf("retries that wait here for at most %d s, then are forwarded", r.Delay/time.Second), "syncer and delayer", []Group{GroupDelayer},
		})
	}
	return append(topics,
		Topic{TopicDue, true, KeepConsumed, "retries whose time has come", "delayer and syncer", []Group{GroupSyncer}},
		Topic{TopicDeadLetter, false, KeepForever, "records nobody can decode, with the reason and where they came from", "every consumer", []Group{GroupProjector}},
		Topic{TopicPosition, false, KeepLatestKey, "the relay's position; offsets of transactions with nothing else to write", "relay, syncer, delayer", nil},
	)
}

// IsTopic reports whether this is the name of a topic of the connector.
func IsTopic(name string) bool {
	return slices.ContainsFunc(Topics(), func(t Topic) bool { return t.Name == name })
}

// TopicsOf lists the topics that a group reads.
func TopicsOf(g Group) []string {
	var names []string
	for _, t := range Topics() {
		for _, reader := range t.ReadBy {
			if reader == g {
				names = append(names, t.Name)
			}
		}
	}
	return names
}

// ChainGroup is the group that consumes the chain records of a topic. These are requests and retries, which keep a generation alive.
// ok is false for every other topic.
func ChainGroup(topic string) (g Group, ok bool) {
	switch {
	case topic == TopicRequested || topic == TopicDue:
		return GroupSyncer, true
	case slices.ContainsFunc(RetryTiers, func(r RetryTier) bool { return r.Topic == topic }):
		return GroupDelayer, true
	default:
		return "", false
	}
}
