package event_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

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
	require.NoError(t, page.Option("missingkey=error").Execute(&b, map[string]any{
		"Topics": topicLines(), "Headers": headerLines(t), "Tiers": tierLines(), "Groups": groupLines(),
		"MaxEvent": mebibytes(event.MaxEventBytes), "MaxRecord": mebibytes(event.MaxRecordBytes),
		"SalesOrder": event.TopicSalesOrder, "BeforeSend": event.TopicBeforeSend, "AfterSend": event.TopicAfterSend,
		"Success": event.TopicSuccess, "Failed": event.TopicFailed, "Callback": event.TopicCallback,
		"Due": event.TopicDue, "Position": event.TopicPosition,
		"FirstTier": event.RetryTiers[0].Topic, "DueHeader": event.HeaderDue,
	}))
	return b.Bytes()
}

func mebibytes(n int) string { return fmt.Sprintf("%d MiB", n>>20) }

type topicLine struct {
	event.Topic
	Key, Kept, ReadBy, Value string
}

func topicLines() []topicLine {
	kept := map[event.Retention]string{
		event.KeepForever: "for ever", event.KeepConsumed: "until consumed", event.KeepLatestKey: "the latest per key",
	}
	var lines []topicLine
	for _, topic := range event.Topics() {
		line := topicLine{
			Topic: topic, Key: "the order", Kept: kept[topic.Retention], ReadBy: readers(topic),
			Value: "[schema](../shared/event/schema/" + schemaOf(topic.Name) + ".json)",
		}
		switch topic.Name {
		case event.TopicDeadLetter:
			line.Key, line.Value = "the record's", "the record's, byte for byte"
		case event.TopicPosition:
			line.Key, line.ReadBy, line.Value = "the writer", "relay", "the connector's own"
		}
		lines = append(lines, line)
	}
	return lines
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

type tierLine struct{ Topic, Wait string }

func tierLines() []tierLine {
	var lines []tierLine
	for _, r := range event.RetryTiers {
		lines = append(lines, tierLine{r.Topic, fmt.Sprintf("%d s", r.Delay/time.Second)})
	}
	return lines
}

type groupLine struct{ Name, Reads, Position string }

func groupLines() []groupLine {
	lines := []groupLine{
		{Name: string(event.GroupSyncer), Position: "Kafka, in the transaction that writes what follows"},
		{Name: string(event.GroupDelayer), Position: "Kafka, in the transaction that forwards the retries"},
		{Name: string(event.GroupProjector), Position: "Postgres, beside the rows; the group does not exist in Kafka"},
	}
	for i, line := range lines {
		lines[i].Reads = "`" + strings.Join(event.TopicsOf(event.Group(line.Name)), "`, `") + "`"
	}
	return lines
}
