package replay

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// A success of which the ERP's number was lost looked like any other.
func TestAReadableLineSaysWhatIsWrongWithASuccess(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	s := domain.Sync{
		SyncID: 1, Source: "default", OrderIncrementID: "000000123", Status: domain.InProgress, Attempts: 1, MaxAttempts: 5, Generation: 1,
		Version: domain.AttemptVersion(1, 1, domain.PhaseAfter), Cause: "the ERP accepted the order, and its number is not kept",
	}
	r, err := event.NewSync(event.TopicAfterSend, event.Sync{Sync: s, Response: &event.Response{Status: 201}}, event.Context{At: now})
	require.NoError(t, err)
	record := &kgo.Record{Topic: event.TopicAfterSend, Key: []byte(r.Key), Value: r.Value, Timestamp: now}
	text, err := readable(kafka.Config{}.Event(record), record)
	require.NoError(t, err)
	require.Contains(t, string(text), "attempts 1 of 5, HTTP 201: the ERP accepted the order, and its number is not kept  (")
}

// Symptom: the line of a redrive said that the order was queued again, and not who had asked for it.
func TestAReadableLineSaysWhoRedroveWhatAndWhy(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	s := domain.Sync{
		SyncID: 1, Source: "default", OrderIncrementID: "000000123", Status: domain.Queued, MaxAttempts: 5, Generation: 1,
		Version: domain.AttemptVersion(1, 0, domain.PhaseAfter), Cause: "redrive of dead letter 17 by jane: the decoder was mended",
	}
	r, err := event.NewDeadLetter(event.Sync{Sync: s}, s.Cause, event.Context{At: now})
	require.NoError(t, err)
	record := &kgo.Record{Topic: event.TopicCallback, Key: []byte(r.Key), Value: r.Value, Timestamp: now}
	text, err := readable(kafka.Config{}.Event(record), record)
	require.NoError(t, err)
	require.Contains(t, string(text), "attempts 0 of 5: redrive of dead letter 17 by jane: the decoder was mended  (")
}

func TestReplayReadsForAPerson(t *testing.T) {
	var out bytes.Buffer
	sync := `{"sync":{"sync_id":1,"source":"default","order_increment_id":"1","status":"queued","generation":1,"version":285212682,` +
		`"attempts":1,"max_attempts":5,"next_attempt_at":"2024-01-15T10:31:00Z"},"response":{"status":503,"body":""},"error":"busy\u001b[2J"}`
	require.NoError(t, Timeline(kafka.Config{Prefix: "a."}, &out).Take(t.Context(), []*kgo.Record{
		{
			Topic: "a." + event.TopicAfterSend, Partition: 3, Offset: 7, Key: []byte("default:1"), Value: []byte(sync),
			Headers: []kgo.RecordHeader{{Key: event.HeaderTime, Value: []byte("2024-01-15T10:29:00.123Z")}, {Key: event.HeaderType, Value: []byte(event.TopicAfterSend)}},
		},
		{
			Topic: "a." + event.TopicRequested, Key: []byte("1"), Timestamp: time.UnixMilli(0),
			Value: []byte(`{"sync":{"sync_id":1,"source":"default","order_increment_id":"1","status":"queued","generation":1,"version":268435456,"max_attempts":5},` +
				`"warnings":["/order/items/0/price is missing","more"]}`),
		},
		{Topic: "a." + event.TopicSalesOrder, Key: []byte("default:1"), Value: []byte("no JSON"), Timestamp: time.UnixMilli(0)},
	}))
	require.Equal(t, "2024-01-15T10:29:00.123Z  vendor_erp_sync_after_send   default:1  queued, generation 1, attempts 1 of 5, HTTP 503, again at 10:31:00: "+
		`busy\x1b[2J`+"  (vendor_erp_sync_after_send/3@7)\n"+
		"1970-01-01T00:00:00.000Z  vendor_erp_sync_requested    1  queued, generation 1, attempts 0 of 5, warning: /order/items/0/price is missing; more  "+
		"(vendor_erp_sync_requested/0@0)\n"+
		"1970-01-01T00:00:00.000Z  sales_order_event            default:1  (sales_order_event/0@0)\n", out.String())
}
