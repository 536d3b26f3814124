package event_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// smallestSync is the least that DecodeSync takes.
const smallestSync = `{"sync":{"sync_id":1,"source":"default","order_increment_id":"000000123","status":"queued","generation":1,"version":268435456}}`

func TestDecodeSyncRefuses(t *testing.T) {
	t.Parallel()
	const good = smallestSync
	_, err := event.DecodeSync([]byte(good))
	require.NoError(t, err)
	cases := map[string]struct{ old, new, want string }{
		"nothing":                       {good, ``, "decoding the record's value: unexpected end of JSON input"},
		"text":                          {good, `order`, "decoding the record's value: invalid character 'o' looking for beginning of value"},
		"a list":                        {good, `[]`, "decoding the record's value: json: cannot unmarshal array into Go value of type event.Sync"},
		"half a value":                  {`}}`, `}`, "decoding the record's value: unexpected end of JSON input"},
		"two values":                    {`}}`, `}}{}`, "decoding the record's value: invalid character '{' after top-level value"},
		"null":                          {good, `null`, "sync.sync_id must be positive"},
		"a commerce event":              {good, commerceEvent, "sync.sync_id must be positive"},
		"no sync":                       {`"sync"`, `"x"`, "sync.sync_id must be positive"},
		"a sync_id of nought":           {`"sync_id":1`, `"sync_id":0`, "sync.sync_id must be positive"},
		"a sync_id as text":             {`"sync_id":1`, `"sync_id":"1"`, "decoding the record's value: json: cannot unmarshal string into Go struct field Sync.sync.sync_id of type int64"},
		"no generation":                 {`"generation":1`, `"x":1`, "sync.version 268435456 is not of generation 0"},
		"a negative generation":         {`"generation":1,"version":268435456`, `"generation":-1,"version":-268435456`, "sync.version -268435456 is not of generation -1"},
		"no version":                    {`"version"`, `"x"`, "sync.version 0 is not of generation 1"},
		"another generation's version":  {`268435456`, `536870912`, "sync.version 536870912 is not of generation 1"},
		"a version with a fraction":     {`268435456`, `268435456.5`, "decoding the record's value: json: cannot unmarshal number 268435456.5 into Go struct field Sync.sync.version of type domain.Version"},
		"no status":                     {`"status"`, `"x"`, "sync.status is missing"},
		"no source":                     {`"source"`, `"x"`, `source "" must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'`},
		"a source that is no key's":     {`"default"`, `"a/b"`, `source "a/b" must be 1 to 63 characters of a-z, 0-9, '.', '_' and '-'`},
		"no order":                      {`"order_increment_id"`, `"x"`, "order_increment_id is required"},
		"an order's number too long":    {`000000123`, strings.Repeat("1", 129), "order_increment_id has 129 bytes; at most 128 are taken"},
		"an order's number with a line": {`000000123`, `1\n2`, "order_increment_id must be printable text"},
		"a time that is none":           {`"sync_id"`, `"created_at":"x","sync_id"`, `decoding the record's value: parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"`},
		"a payload that is no text":     {`{"sync"`, `{"payload":{},"sync"`, "decoding the record's value: json: cannot unmarshal object into Go struct field Sync.payload of type string"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Contains(t, good, c.old)
			v, err := event.DecodeSync([]byte(strings.Replace(good, c.old, c.new, 1)))
			require.EqualError(t, err, c.want)
			require.Zero(t, v)
		})
	}
}

func TestDecodeSyncReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	for path, g := range goldens(t) {
		if g.Topic == event.TopicSalesOrder {
			continue
		}
		v, err := event.DecodeSync(g.Value)
		require.NoError(t, err, path)
		again, err := domain.EncodeJSON(v)
		require.NoError(t, err, path)
		require.Equal(t, string(g.Value), string(again), path)
	}
}

func TestFactsAreASyncWithoutTheOrder(t *testing.T) {
	t.Parallel()
	var fields []reflect.StructField
	for _, f := range reflect.VisibleFields(reflect.TypeFor[event.Sync]()) {
		if f.Name != "Order" {
			fields = append(fields, f)
		}
	}
	facts := reflect.VisibleFields(reflect.TypeFor[event.Facts]())
	require.Len(t, facts, len(fields))
	for i, f := range facts {
		require.Equal(t, []any{fields[i].Name, fields[i].Type, fields[i].Tag}, []any{f.Name, f.Type, f.Tag})
	}
}

// FuzzDecodeSync holds that what decodes is written and read again as the same value, so that a record that goes
// through the retry topics or the dead letters stays what it was. It also holds that encoding/json reads the same, and DecodeFacts the
// same but for the order.
func FuzzDecodeSync(f *testing.F) {
	f.Add([]byte(smallestSync))
	for _, g := range goldens(f) {
		f.Add([]byte(g.Value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		v, err := event.DecodeSync(value)
		facts, factsErr := event.DecodeFacts(value)
		require.Equal(t, err == nil, factsErr == nil, "%v, %v", err, factsErr)
		require.Equal(t, event.Facts{
			Sync: v.Sync, Warnings: v.Warnings, NotSent: v.NotSent, Payload: v.Payload, Response: v.Response, TookMS: v.TookMS, Error: v.Error,
		}, facts)
		var standard event.Sync
		if standardErr := json.Unmarshal(value, &standard); err != nil {
			require.True(t, standardErr != nil || !strings.HasPrefix(err.Error(), "decoding"), "encoding/json reads it: %v", err)
			return
		} else {
			require.NoError(t, standardErr)
			require.Equal(t, standard, v)
		}
		written, err := domain.EncodeJSON(v)
		require.NoError(t, err)
		again, err := event.DecodeSync(written)
		require.NoError(t, err)
		rewritten, err := domain.EncodeJSON(again)
		require.NoError(t, err)
		require.Equal(t, string(written), string(rewritten))
	})
}
