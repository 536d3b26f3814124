package event_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// TestTopicsDocSaysWhatTheCodeSays compares docs/topics.md with what is made from this package.
func TestTopicsDocSaysWhatTheCodeSays(t *testing.T) {
	t.Parallel()
	compareFile(t, filepath.Join("..", "..", "docs", "topics.md"), topicsDoc(t))
}

func topicsDoc(t *testing.T) []byte {
	t.Helper()
	page, err := template.ParseFiles(filepath.Join("testdata", "topics.md.tmpl"))
	require.NoError(t, err)
	var b bytes.Buffer
	log, inner := topicLines()
	require.NoError(t, page.Option("missingkey=error").Execute(&b, map[string]any{
		"Log": log, "Inner": inner, "Ways": wayLines(append(slices.Clone(log), inner...)),
		"Example": readGolden(t, goldenPath("invoice_9_success")), "ExampleSync": exampleSync(t, "invoice_9_success"),
		"Headers": headerLines(t), "Groups": groupLines(),
		"MaxEvent": mebibytes(event.MaxEventBytes), "MaxRecord": mebibytes(event.MaxRecordBytes),
		"SalesOrder": event.TopicSalesOrder, "BeforeSend": event.TopicBeforeSend, "AfterSend": event.TopicAfterSend,
		"Success": event.TopicSuccess, "Failed": event.TopicFailed, "Callback": event.TopicCallback,
		"Due": event.TopicDue, "Position": event.TopicPosition, "DeadLetter": event.TopicDeadLetter,
		"FirstTier": event.RetryTiers[0].Topic, "DueHeader": event.HeaderDue,
	}))
	return b.Bytes()
}

// exampleSync is the part of a golden record that says where the sync stands.
func exampleSync(t *testing.T, name string) domain.Sync {
	t.Helper()
	v, err := event.DecodeSync(readGolden(t, goldenPath(name)).Value)
	require.NoError(t, err)
	return v.Sync
}

func mebibytes(n int) string { return fmt.Sprintf("%d MiB", n>>20) }

type topicLine struct {
	event.Topic
	Kept, ReadBy string
}

// topicLines are the topics of the log, and those that are for the connector alone.
func topicLines() (log, inner []topicLine) {
	kept := map[event.Retention]string{
		event.KeepForever: "for ever", event.KeepConsumed: "until consumed", event.KeepLatestKey: "the latest per key",
	}
	for _, topic := range event.Topics() {
		line := topicLine{Topic: topic, Kept: kept[topic.Retention], ReadBy: readers(topic)}
		switch {
		case topic.Name == event.TopicPosition:
			line.ReadBy = "relay"
			inner = append(inner, line)
		case topic.Retention == event.KeepForever:
			log = append(log, line)
		default:
			inner = append(inner, line)
		}
	}
	return log, inner
}

func shortName(topic string) string { return "`" + strings.TrimPrefix(topic, "vendor_erp_sync_") + "`" }

type wayLine struct{ Names, WrittenBy, ReadBy string }

// wayLines are who writes and who reads, with topics of which both are the same in one line, by short names.
func wayLines(topics []topicLine) (ways []wayLine) {
	for _, topic := range topics {
		name := shortName(topic.Name)
		i := slices.IndexFunc(ways, func(w wayLine) bool { return w.WrittenBy == topic.WrittenBy && w.ReadBy == topic.ReadBy })
		if i < 0 {
			ways = append(ways, wayLine{name, topic.WrittenBy, topic.ReadBy})
			continue
		}
		ways[i].Names += ", " + name
	}
	return ways
}

// readers is the services that read a topic; a subscriber may read any that is kept for ever.
func readers(topic event.Topic) string {
	var names []string
	for _, g := range topic.ReadBy {
		names = append(names, strings.TrimPrefix(string(g), "erpconnector-"))
	}
	if topic.Retention == event.KeepForever && topic.Name != event.TopicDeadLetter {
		names = append(names, "subscribers")
	}
	if len(names) == 0 {
		return "operators"
	}
	return strings.Join(names, ", ")
}

type headerLine struct{ Name, On, Meaning, Example string }

func headerLines(t *testing.T) []headerLine {
	t.Helper()
	lines := []headerLine{
		{Name: event.HeaderSpecVersion, On: "all", Meaning: "the version of CloudEvents"},
		{Name: event.HeaderID, On: "all", Meaning: "names the fact: key/version/type; `source:event_id` in `" + event.TopicSalesOrder + "`"},
		{Name: event.HeaderSource, On: "all", Meaning: "who states it: the connector; `/shops/<source>` in `" + event.TopicSalesOrder + "`"},
		{Name: event.HeaderType, On: "all", Meaning: "the topic's name; the commerce event's type in `" + event.TopicSalesOrder + "`; `" + event.TypeRetry + "` for every retry"},
		{Name: event.HeaderSubject, On: "all", Meaning: "the order's key"},
		{Name: event.HeaderTime, On: "all", Meaning: "when it happened, UTC, in milliseconds"},
		{Name: event.HeaderContentType, On: "all", Meaning: "the value's type"},
		{Name: event.HeaderTraceparent, On: "all", Meaning: "W3C trace context"},
		{Name: event.HeaderUUID, On: "all", Meaning: "Watermill's message id, made from `ce_id`: a repeated record has the same"},
		{Name: event.HeaderDue, On: "retries", Meaning: "when it is due, Unix time in milliseconds"},
		{Name: event.HeaderReason, On: "dead letters", Meaning: "why nobody could use the record"},
		{Name: event.HeaderOriginTopic, On: "dead letters", Meaning: "where it came from"},
		{Name: event.HeaderOriginPartition, On: "dead letters", Meaning: "where it came from"},
		{Name: event.HeaderOriginOffset, On: "dead letters", Meaning: "where it came from"},
		{Name: event.HeaderOriginRow, On: "dead letters", Meaning: "where it came from, in place of partition and offset: the row of the outbox that was never relayed"},
		{Name: event.HeaderDeadLetterReference, On: "dead letters", Meaning: "`true` where the dead letter has not the content of the record"},
		{Name: event.HeaderDeadLetterBy, On: "dead letters", Meaning: "who could not use it: a service, or a subscriber's group"},
		{Name: event.HeaderDeadLetterEnded, On: "dead letters", Meaning: "`true` where the sync's terminal event was written with the dead letter"},
	}
	example := readGolden(t, goldenPath("invoice_5_parked"))
	examples := example.Headers
	examples[event.HeaderUUID] = example.UUID
	for i, line := range lines {
		lines[i].Example = examples[line.Name]
		delete(examples, line.Name)
	}
	require.Empty(t, examples, "every header is described")
	return lines
}

type groupLine struct{ Name, Reads, Position string }

func groupLines() []groupLine {
	lines := []groupLine{
		{Name: string(event.GroupSyncer), Position: "Kafka, in the transaction that writes what follows"},
		{Name: string(event.GroupDelayer), Position: "Kafka, in the transaction that forwards a retry"},
		{Name: string(event.GroupProjector), Position: "Postgres, beside the rows: the group does not exist in Kafka"},
	}
	for i, line := range lines {
		var names []string
		for _, topic := range event.TopicsOf(event.Group(line.Name)) {
			names = append(names, shortName(topic))
		}
		lines[i].Reads = strings.Join(names, ", ")
	}
	return lines
}
