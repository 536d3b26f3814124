package event_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// schemaNames is every schema: one per event, and the definitions they share.
func schemaNames() []string {
	names := []string{"sync"}
	for _, topic := range event.Topics() {
		if name := schemaOf(topic.Name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// schemaOf is the name of the schema of a topic's values, empty for topics that hold no events.
func schemaOf(topic string) string {
	switch {
	case topic == event.TopicDeadLetter || topic == event.TopicPosition:
		return ""
	case topic == event.TopicDue || strings.HasPrefix(topic, event.TypeRetry):
		return event.TypeRetry
	default:
		return topic
	}
}

func newCompiler(t *testing.T) *jsonschema.Compiler {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range schemaNames() {
		text, ok := event.Schema(name)
		require.True(t, ok, "schema %s", name)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		require.NoError(t, err, "schema %s", name)
		require.NoError(t, c.AddResource(name+".json", doc))
	}
	return c
}

func compile(t *testing.T, location string) *jsonschema.Schema {
	t.Helper()
	schema, err := newCompiler(t).Compile(location)
	require.NoError(t, err)
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, value []byte) error {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	require.NoError(t, err)
	return schema.Validate(doc)
}

func TestSchemaOfAnUnknownName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "order.placed", "../schema/sync", event.TopicDeadLetter} {
		_, ok := event.Schema(name)
		require.False(t, ok, name)
	}
}

func TestGoldenValuesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	met := map[string]bool{"sync": true}
	for path, g := range goldens(t) {
		name := schemaOf(g.Topic)
		met[name] = true
		require.NoError(t, validate(t, compile(t, name+".json"), g.Value), path)
	}
	for _, name := range schemaNames() {
		require.True(t, met[name], "schema %s has a golden file", name)
	}
}

func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ golden, old, new string }{
		"an event without id":                         {"invoice_1_sales_order_event", `"event_id":"evt-77"`, `"event_id":""`},
		"an invoice without number":                   {"invoice_1_sales_order_event", `"invoice":{"increment_id"`, `"invoice":{"x"`},
		"an invoice without order that names none":    {"invoice_1_sales_order_event", `"order":`, `"x":`},
		"an order without items":                      {"invoice_1_sales_order_event", `"items"`, `"x"`},
		"an amount that is none":                      {"invoice_1_sales_order_event", `"qty":"2"`, `"qty":"two"`},
		"a request that does not say if it is held":   {"invoice_2_requested", `"released"`, `"x"`},
		"a held request on its way":                   {"held_1_requested", `"pending"`, `"queued"`},
		"a request without order":                     {"invoice_2_requested", `"order":`, `"x":`},
		"a request without a key for the ERP":         {"invoice_2_requested", `"idempotency_key"`, `"x"`},
		"a time that is none":                         {"invoice_2_requested", `"2024-01-15T10:30:00.123Z"`, `"yesterday"`},
		"a time that is not UTC":                      {"invoice_2_requested", `"2024-01-15T10:30:00.123Z"`, `"2024-01-15T10:30:00+01:00"`},
		"a call without payload":                      {"invoice_3_before_send", `"payload"`, `"x"`},
		"a retry that is due at no time":              {"invoice_5_parked", `"next_attempt_at"`, `"x"`},
		"an after_send that is queued for no time":    {"invoice_8_after_send", `"in_progress"`, `"queued"`},
		"an after_send that counts no call":           {"invoice_8_after_send", `"attempts":2`, `"attempts":0`},
		"a success that failed":                       {"invoice_9_success", `"success"`, `"failed"`},
		"a failure without code":                      {"resync_2_superseded", `"error_code"`, `"x"`},
		"a callback that settles nothing":             {"webhook_1_callback", `"success"`, `"in_progress"`},
		"a response without status":                   {"webhook_1_callback", `"status":0`, `"x":0`},
		"a version beyond what a double holds":        {"invoice_9_success", `"version":285212691`, `"version":9007199254740993`},
		"a warning that is no text":                   {"remarks_1_requested", `"warnings":["`, `"warnings":[7,"`},
		"a line not sent that is no text":             {"remarks_1_requested", `"not_sent":["`, `"not_sent":[{},"`},
		"the order inside sync":                       {"invoice_9_success", `"sync":{`, `"sync":{"order":{},`},
		"the payload inside sync":                     {"invoice_9_success", `"sync":{`, `"sync":{"payload":"{}",`},
		"the response inside sync":                    {"invoice_9_success", `"sync":{`, `"sync":{"response":{},`},
		"the error's text inside sync":                {"invoice_9_success", `"sync":{`, `"sync":{"error":"Zoë is unknown",`},
		"an order of a source that cannot be a key's": {"invoice_9_success", `"source":"default"`, `"source":"a/b"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := readGolden(t, goldenPath(c.golden))
			require.Contains(t, string(g.Value), c.old)
			changed := strings.Replace(string(g.Value), c.old, c.new, 1)
			var invalid *jsonschema.ValidationError
			require.ErrorAs(t, validate(t, compile(t, schemaOf(g.Topic)+".json"), []byte(changed)), &invalid)
		})
	}
}

func TestSchemasTakeFieldsAddedLater(t *testing.T) {
	t.Parallel()
	for path, g := range goldens(t) {
		changed := strings.ReplaceAll(string(g.Value), `{"`, `{"added_later":"x","`)
		require.NoError(t, validate(t, compile(t, schemaOf(g.Topic)+".json"), []byte(changed)), path)
	}
}

// TestSchemasNameEveryField fails when a field is added to a type and not to its schema.
func TestSchemasNameEveryField(t *testing.T) {
	t.Parallel()
	cases := []struct {
		location string
		value    any
	}{
		{"sync.json#/$defs/sync", domain.Sync{}},
		{"sync.json#/$defs/order", domain.Order{}},
		{"sync.json#/$defs/item", domain.Item{}},
		{"sync.json#/$defs/totals", domain.Totals{}},
		{"sync.json#/$defs/adjustment", domain.Adjustment{}},
		{"sync.json#/$defs/address", domain.Address{}},
		{"sync.json#/$defs/response", event.Response{}},
		{"sales_order_event.json", event.Commerce{}},
		{"sales_order_event.json#/properties/invoice", event.Invoice{}},
		{event.TopicRequested + ".json", event.Sync{}},
		{event.TopicBeforeSend + ".json", event.Sync{}},
		{event.TopicAfterSend + ".json", event.Sync{}},
	}
	for _, c := range cases {
		named := compile(t, c.location).Properties
		for _, field := range jsonNames(reflect.TypeOf(c.value)) {
			require.Contains(t, named, field, c.location)
		}
	}
}

func jsonNames(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// TestPersonalDataStandsInItsFieldsOnly looks for what order, payload, response and error say in all the rest of a
// record, so that each of the four can be sealed as a whole.
func TestPersonalDataStandsInItsFieldsOnly(t *testing.T) {
	t.Parallel()
	for path, g := range goldens(t) {
		if g.Topic == event.TopicSalesOrder {
			continue // its value is the shop's
		}
		var value map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(g.Value, &value))
		require.Subset(t, []string{"sync", "order", "warnings", "not_sent", "payload", "response", "took_ms", "error"}, keys(value), path)
		headers, err := json.Marshal(g.Headers)
		require.NoError(t, err)
		open := g.Topic + g.Key + string(headers) + string(value["sync"]) + string(value["warnings"]) + string(value["not_sent"])
		for _, secret := range personal(t, value) {
			require.NotContains(t, open, secret, path)
		}
	}
}

func keys(m map[string]json.RawMessage) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}

// personal is the texts about the customer: all that is Zoë's, and the error and bodies as a whole.
func personal(t *testing.T, value map[string]json.RawMessage) []string {
	t.Helper()
	secrets := []string{"Zo", "zo", "15806", "+49"}
	var v event.Sync
	require.NoError(t, json.Unmarshal(value["sync"], &v.Sync))
	for name, into := range map[string]any{"payload": &v.Payload, "error": &v.Error, "response": &v.Response} {
		if raw, ok := value[name]; ok {
			require.NoError(t, json.Unmarshal(raw, into))
		}
	}
	for _, text := range []*string{v.Payload, v.Error} {
		if text != nil {
			secrets = append(secrets, *text)
		}
	}
	if v.Response != nil {
		secrets = append(secrets, v.Response.Body)
	}
	return secrets
}
