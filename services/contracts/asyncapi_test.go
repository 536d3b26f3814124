package contracts_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

// outboxChannel is the table that shops write their events to; what it holds is a record of no topic yet.
const outboxChannel = "commerce_outbox"

// The description of the topics is what shared/event, its schemas and docs/topics.md say.
func TestAsyncAPIDocument(t *testing.T) {
	t.Parallel()
	compare(t, repository+"/shared/contracts/asyncapi.json", asyncAPI(t))
}

func asyncAPI(t *testing.T) object {
	t.Helper()
	channels, operations, messages := object{}, object{}, object{}
	for _, topic := range event.Topics() {
		message := messageOf(topic.Name)
		if messages[message] == nil {
			messages[message] = messageObject(t, message)
		}
		channels[topic.Name] = channel(topic, message)
		operations["send_"+topic.Name] = operation("send", topic.Name, "Written by "+topic.WrittenBy+".")
		if len(topic.ReadBy) > 0 {
			operations["receive_"+topic.Name] = operation("receive", topic.Name, "Read by "+groupsOf(topic)+".")
		}
	}
	messages["commerce_event"] = object{
		"title": "commerce_event", "contentType": "application/json", "payload": eventSchema(t, event.TopicSalesOrder),
		"summary": "An order was placed or updated, or an invoice was created.",
	}
	channels[outboxChannel] = object{
		"address": outboxChannel, "title": outboxChannel, "messages": object{"commerce_event": object{"$ref": "#/components/messages/commerce_event"}},
		"description": "A table in Postgres, not a topic: shops that share the database publish here, in their own transaction (docs/publish.md). Others send the same over HTTP.",
	}
	operations["receive_"+outboxChannel] = operation("receive", outboxChannel, "Drained by ingest.")
	return object{
		"asyncapi": "3.0.0", "defaultContentType": "application/json",
		"info": object{
			"title": "ERP Connector's topics", "version": "1", "license": object{"name": "MIT"},
			"description": "What the connector writes to Kafka, and what shops publish. Topics carry the prefix of `KAFKA_TOPIC_PREFIX`; the names here are without it. " +
				"Members, headers and types of events are added, never changed. Topics with `x-internal` are how the connector works: their names and number may change. " +
				"docs/topics.md says what a subscriber may rely on.",
		},
		"channels": channels, "operations": operations,
		"components": object{"messages": messages, "schemas": eventDefinitions(t)},
	}
}

// messageOf is the name of a topic's messages: the retry topics all have the same.
func messageOf(topic string) string {
	if topic == event.TopicDue || strings.HasPrefix(topic, event.TypeRetry+"_") {
		return event.TypeRetry
	}
	return topic
}

func groupsOf(topic event.Topic) string {
	names := make([]string, len(topic.ReadBy))
	for i, g := range topic.ReadBy {
		names[i] = string(g)
	}
	return strings.Join(names, ", ")
}

func channel(topic event.Topic, message string) object {
	keeps := map[event.Retention]object{
		event.KeepForever:   {"cleanup.policy": []string{"delete"}, "retention.ms": -1, "retention.bytes": -1},
		event.KeepConsumed:  {"cleanup.policy": []string{"delete"}, "retention.ms": -1, "retention.bytes": -1},
		event.KeepLatestKey: {"cleanup.policy": []string{"compact"}},
	}
	configuration := keeps[topic.Retention]
	configuration["max.message.bytes"] = event.MaxRecordBytes
	return object{
		"address": topic.Name, "title": topic.Name, "description": topic.Purpose,
		"messages":   object{message: object{"$ref": "#/components/messages/" + message}},
		"bindings":   object{"kafka": object{"topicConfiguration": configuration, "bindingVersion": "0.5.0"}},
		"x-internal": topic.Retention != event.KeepForever, "x-keyed-by-order": topic.Keyed,
	}
}

func operation(action, channel, summary string) object {
	return object{"action": action, "channel": object{"$ref": "#/channels/" + channel}, "summary": summary}
}

func messageObject(t *testing.T, name string) object {
	t.Helper()
	message := object{
		"title": name, "contentType": "application/json", "headers": headersOf(t, name),
		"bindings": object{"kafka": object{"key": object{"type": "string"}, "bindingVersion": "0.5.0"}},
	}
	switch name {
	case event.TopicDeadLetter:
		message["summary"], message["payload"] = "The value of the record, byte for byte.", object{}
	case event.TopicPosition:
		message["summary"], message["payload"] = "For the connector alone.", object{}
		delete(message, "headers")
	default:
		message["payload"] = eventSchema(t, name)
	}
	return message
}

var headerRow = regexp.MustCompile("(?m)^\\| `([a-z_-]+)` \\| (all|retries|dead letters) \\| (.*) \\|$")

// headersOf are the headers of a kind of messages, as docs/topics.md has them.
func headersOf(t *testing.T, message string) object {
	t.Helper()
	page, err := os.ReadFile(repository + "/docs/topics.md")
	require.NoError(t, err)
	properties, required := object{}, []string{}
	for _, row := range headerRow.FindAllStringSubmatch(string(page), -1) {
		name, on := row[1], row[2]
		if own := map[string]string{"retries": event.TypeRetry, "dead letters": event.TopicDeadLetter}[on]; own != "" && own != message {
			continue
		}
		properties[name] = object{"type": "string", "description": row[3]}
		if on != "dead letters" && message != event.TopicDeadLetter && name != event.HeaderUUID && name != event.HeaderTraceparent {
			required = append(required, name)
		}
	}
	require.NotEmpty(t, properties)
	headers := object{"type": "object", "properties": properties}
	if slices.Sort(required); len(required) > 0 {
		headers["required"] = required
	}
	return headers
}

// eventSchema is a schema of shared/event, with its definitions among the components.
func eventSchema(t *testing.T, name string) (schema object) {
	t.Helper()
	text, ok := event.Schema(name)
	require.True(t, ok, name)
	for _, from := range []string{`"sync.json#/$defs/`, `"#/$defs/`} {
		text = bytes.ReplaceAll(text, []byte(from), []byte(`"#/components/schemas/`))
	}
	require.NoError(t, json.Unmarshal(text, &schema))
	delete(schema, "$schema")
	return schema
}

func eventDefinitions(t *testing.T) object {
	t.Helper()
	definitions, _ := eventSchema(t, "sync")["$defs"].(object)
	return definitions
}

// Every record that the connector writes, as its golden files have it, fits its topic's message: no header and no member lacks.
func TestGoldenRecordsFitTheDescription(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(repository + "/shared/event/testdata/golden/*.json")
	require.NoError(t, err)
	document := asyncAPI(t)
	messages, _ := document["components"].(object)["messages"].(object)
	met := map[string]bool{event.TopicPosition: true, "commerce_event": true}
	for _, m := range messages {
		if headers, ok := m.(object)["headers"].(object); ok {
			headers["additionalProperties"] = false
		}
	}
	c := compilerOf(t, document)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var record struct {
			Topic          string
			UUID           string
			Headers, Value json.RawMessage
		}
		require.NoError(t, json.Unmarshal(text, &record))
		name := messageOf(record.Topic)
		met[name] = true
		for part, value := range map[string]json.RawMessage{"headers": record.Headers, "payload": record.Value} {
			schema, err := c.Compile("file:///document.json#/components/messages/" + name + "/" + part)
			require.NoError(t, err, file)
			read, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
			require.NoError(t, err)
			require.NoError(t, schema.Validate(read), "%s of %s", part, file)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(messages)), append(slices.Collect(maps.Keys(met)), event.TopicDeadLetter), "messages with a golden file")
}

// compilerOf knows the schemas of a document as file:///document.json.
func compilerOf(t *testing.T, document object) *jsonschema.Compiler {
	t.Helper()
	text, err := json.Marshal(document)
	require.NoError(t, err)
	copied, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	require.NoError(t, c.AddResource("file:///document.json", copied))
	return c
}
