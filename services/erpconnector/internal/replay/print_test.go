package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
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

var recorded = time.Date(2024, 1, 15, 10, 30, 0, 123_456_789, time.UTC)

// A script finds every part of a record; a value that is not JSON comes in base64.
func TestARecordAsJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record kgo.Record
		want   string
	}{
		"whole": {
			kgo.Record{Topic: "a.t", Partition: 3, Offset: 7, Key: []byte("outlet/1"), Value: []byte(`{"a":  1.10}`), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("<v>")}}},
			`{"topic":"t","partition":3,"offset":7,"time":"2024-01-15T10:30:00.123Z","key":"outlet/1","headers":{"h":"<v>"},"value":{"a":1.10}}`,
		},
		"bare":              {kgo.Record{Topic: "a.t"}, `{"topic":"t","partition":0,"offset":0,"time":"2024-01-15T10:30:00.123Z","key":"","headers":{}}`},
		"no_json":           {kgo.Record{Topic: "a.t", Value: []byte("\x00\xff")}, `{"topic":"t","partition":0,"offset":0,"time":"2024-01-15T10:30:00.123Z","key":"","headers":{},"value_base64":"AP8="}`},
		"of_somebody_else":  {kgo.Record{Topic: "mails", Value: []byte("1")}, `{"topic":"mails","partition":0,"offset":0,"time":"2024-01-15T10:30:00.123Z","key":"","headers":{},"value":1}`},
		"a_key_in_no_utf_8": {kgo.Record{Topic: "a.t", Key: []byte("\xff")}, `{"topic":"t","partition":0,"offset":0,"time":"2024-01-15T10:30:00.123Z","key":"\ufffd","headers":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.record.Timestamp = recorded.In(time.FixedZone("", -7200))
			var out bytes.Buffer
			require.NoError(t, JSON(kafka.Config{Prefix: "a."}, &out).Take(t.Context(), []*kgo.Record{&c.record}))
			require.JSONEq(t, c.want, out.String())
			require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")), "one line each")
			require.True(t, json.Valid(out.Bytes()))
		})
	}
	var out bytes.Buffer
	require.NoError(t, JSON(kafka.Config{}, &out).Take(t.Context(), nil))
	require.Empty(t, out.String())
	large := kgo.Record{Topic: "t", Value: []byte(`"` + strings.Repeat("x", 1<<20) + `"`), Timestamp: recorded}
	require.NoError(t, JSON(kafka.Config{}, &out).Take(t.Context(), []*kgo.Record{&large, &large}))
	require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\n")))
	require.Greater(t, out.Len(), 2<<20, "of any size")
}

var errPipe = errors.New("broken pipe")

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errPipe }

// Whoever reads may have gone; then positions must not say that it was printed.
func TestAPrinterTellsOfABrokenPipe(t *testing.T) {
	t.Parallel()
	for _, records := range [][]*kgo.Record{
		{{Topic: "t", Timestamp: recorded}}, {{Topic: "t", Value: []byte(`"` + strings.Repeat("x", 1<<16) + `"`), Timestamp: recorded}, {Topic: "t", Timestamp: recorded}},
	} {
		require.ErrorIs(t, JSON(kafka.Config{}, brokenPipe{}).Take(t.Context(), records), errPipe)
		require.ErrorContains(t, Timeline(kafka.Config{}, brokenPipe{}).Take(t.Context(), records), "writing the records: broken pipe")
	}
}

// Each part of a sync is told where there is one.
func TestAReadableLineTellsWhatThereIs(t *testing.T) {
	t.Parallel()
	now, failed := recorded.Truncate(time.Millisecond), strings.Repeat("ë", 200)
	base := domain.Sync{
		SyncID: 1, Source: "default", OrderIncrementID: "1", Status: domain.Queued, Attempts: 1, MaxAttempts: 5, Generation: 1, Version: domain.AttemptVersion(1, 1, domain.PhaseAfter),
	}
	for name, c := range map[string]struct {
		topic  string
		change func(s *event.Sync)
		want   string
		not    string
	}{
		"plain":                  {event.TopicBeforeSend, func(*event.Sync) {}, "queued, generation 1, attempts 1 of 5  (", "HTTP"},
		"an_answer":              {event.TopicAfterSend, func(s *event.Sync) { s.Response = &event.Response{Status: 201} }, "attempts 1 of 5, HTTP 201  (", "again"},
		"no_answer":              {event.TopicAfterSend, func(s *event.Sync) { s.Response = &event.Response{} }, "attempts 1 of 5  (", "HTTP"},
		"a_long_error":           {event.TopicAfterSend, func(s *event.Sync) { s.Error = &failed }, "attempts 1 of 5: " + strings.Repeat("ë", 119) + "…  (", ""},
		"a_retry":                {event.TopicAfterSend, func(s *event.Sync) { s.Sync.NextAttemptAt = new(now.In(time.FixedZone("", 3600))) }, ", again at 10:30:00  (", ""},
		"a_cause_of_no_answer":   {event.TopicBeforeSend, func(s *event.Sync) { s.Sync.Cause = "resync by me" }, "attempts 1 of 5  (", "resync"},
		"an_error_beats_a_cause": {event.TopicAfterSend, func(s *event.Sync) { s.Sync.Cause, s.Error = "cause", new("error") }, "attempts 1 of 5: error  (", "cause"},
		"warnings":               {event.TopicRequested, func(s *event.Sync) { s.Warnings = []string{"a", strings.Repeat("w", 200)} }, ", warning: a; " + strings.Repeat("w", 116) + "…  (", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := event.Sync{Sync: base}
			c.change(&v)
			r, err := event.NewSync(c.topic, v, event.Context{At: now})
			require.NoError(t, err)
			record := kafka.Config{}.Record(r)
			text, err := readable(kafka.Config{}.Event(record), record)
			require.NoError(t, err)
			require.Contains(t, string(text), c.want)
			if c.not != "" {
				require.NotContains(t, string(text), c.not)
			}
			require.Contains(t, string(text), "2024-01-15T10:30:00.123Z  "+c.topic)
		})
	}
}

func TestShortenKeepsWholeCharacters(t *testing.T) {
	t.Parallel()
	for n := 118; n <= 122; n++ {
		got := []rune(shorten(strings.Repeat("日", n)))
		require.Len(t, got, min(n, 120))
		require.Equal(t, n > 120, got[len(got)-1] == '…')
	}
}
