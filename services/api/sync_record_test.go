package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// A record is shown as it stands in the log, and only as the one that the timeline means: the topic may have been made anew.
func TestARecordIsThatOfItsFact(t *testing.T) {
	t.Parallel()
	brokers := testkit.EmbeddedBroker(t)
	testkit.Topic(t, brokers, event.TopicAfterSend)
	client, err := kgo.NewClient(brokers.Options()...)
	require.NoError(t, err)
	defer client.Close()
	const answered = `{"response":{"status":503,"body":"\u003c"}}`
	written := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	for _, r := range []kgo.Record{
		{Key: []byte("000000123"), Value: []byte(answered), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte(event.TopicAfterSend)}}},
		{Key: []byte("000000124"), Value: []byte(`{}`)},
		{Key: []byte("000000123"), Value: []byte(`no JSON`)},
	} {
		r.Topic, r.Timestamp = brokers.Topic(event.TopicAfterSend), written
		require.NoError(t, client.ProduceSync(t.Context(), &r).FirstErr())
	}
	c := &caller{t: t, pool: testkit.Postgres(t).Pool}
	c.listed()
	for offset := range 3 {
		c.exec(`INSERT INTO vendor_erp_sync_event (occurred_at, topic, partition, "offset", sync_id, version, type, status, attempts)
			VALUES ($1, $2, 0, $3, 1, 1, $2, 'queued', 0)`, requested, event.TopicAfterSend, offset)
	}
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/rest/V1/erpconnector/syncs/1/"+path, nil)
		serveOn(t, c.pool, setting.Defaults(), brokers).ServeHTTP(w, r)
		return w
	}
	w := get("events/vendor_erp_sync_after_send/0/0")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	var got factRecord
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.JSONEq(t, answered, string(got.Value))
	got.Value = nil
	require.Equal(t, factRecord{
		Topic: event.TopicAfterSend, Key: "000000123", WrittenAt: "2024-01-15T10:30:00.000Z", Headers: map[string]string{"ce_type": event.TopicAfterSend},
	}, got)
	require.Equal(t, "no-store", get("order").Header().Get("Cache-Control"), "it holds personal data too")
	for name, path := range map[string]string{"another order's": "events/vendor_erp_sync_after_send/0/1", "no JSON": "events/vendor_erp_sync_after_send/0/2"} {
		w := get(path)
		require.Equal(t, http.StatusServiceUnavailable, w.Code, name)
		require.Contains(t, w.Body.String(), "kafka_unavailable", name)
	}
}
