package event_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// The bytes of a record are those of encoding/json, whatever the texts in it are. Only U+2028, U+2029 and what stands for broken UTF-8
// are not escaped; in the order they never were.
func TestARecordsBytesAreThoseOfEncodingJSON(t *testing.T) {
	t.Parallel()
	texts := []string{"", "a", "Müller & Söhne <x>", "\u2028 and \u2029", "\x00\x1f\x7f", "\"\\/", "\xff broken", "\U0001F600", "null", "\t\r\n\b\f"}
	orders := []string{``, `{}`, `null`, ` { "a" : [ 1 , 2.50 ] , "b" : 1E3 } `, "{\"a\":\"\u2028 & <\\u003c\\/ \"}", `{"a":1,"a":2}`, "\"\xff\""}
	at := time.Date(2024, 1, 15, 10, 30, 0, 120e6, time.UTC)
	unescaped := strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029", `\ufffd`, "\ufffd")
	for i, text := range texts {
		for _, order := range orders {
			v := event.Sync{
				Sync: domain.Sync{
					SyncID: 1, Generation: 1, Version: domain.Version(1 << 28), Status: domain.Queued, Source: text, OrderIncrementID: text,
					LastAttemptAt: &at, CreatedAt: at, Cause: text,
				},
				Order: json.RawMessage(order), Payload: &texts[i], Error: &texts[i], TookMS: new(int64(7)), NotSent: []string{text},
				Response: &event.Response{Status: 200, Headers: map[string]string{"b": text, "a": text}, Body: text},
			}
			want, err := domain.EncodeJSON(v)
			require.NoError(t, err)
			got, err := event.NewSync(event.TopicAfterSend, v, event.Context{At: at})
			require.NoError(t, err)
			require.Equal(t, unescaped.Replace(string(want)), string(got.Value))
		}
	}
	_, err := event.NewSync(event.TopicAfterSend, event.Sync{Order: json.RawMessage(`{"a":`)}, event.Context{At: at})
	require.Error(t, err)
}

// TestAnOrderThatWasReadIsCopied holds that a record with the order of another one has the bytes that it has anyway.
func TestAnOrderThatWasReadIsCopied(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 15, 10, 30, 0, 120e6, time.UTC)
	orders := []string{``, `{}`, `null`, `0`, ` { "a" : [ 1 , 2.50 ] , "b" : 1E3 } `, "{\"a\":\"\u2028 & <\\u003c\\/ \"}", `{"a":1,"a":2}`, "\"\xff\"", `{"order":0}`}
	for _, text := range []string{"", "a", `,"order":0`, `"},"order":0`, "\u2028 \xff \\"} {
		for _, order := range orders {
			v := event.Sync{
				Sync: domain.Sync{
					SyncID: 1, Generation: 1, Version: domain.Version(1 << 28), Status: domain.Queued, Source: "default", OrderIncrementID: "1", Cause: text,
				},
				Order: json.RawMessage(order), Payload: &text, Error: &text, NotSent: []string{text, order},
			}
			first, err := event.NewSync(event.TopicRequested, v, event.Context{At: at})
			require.NoError(t, err)
			read, err := event.DecodeSync(first.Value)
			require.NoError(t, err)
			want, err := event.NewSync(event.TopicAfterSend, read, event.Context{At: at})
			require.NoError(t, err)
			got, err := event.NewSync(event.TopicAfterSend, read, event.Context{At: at, OrderIsRead: true})
			require.NoError(t, err)
			require.Equal(t, string(want.Value), string(got.Value))
		}
	}
}
