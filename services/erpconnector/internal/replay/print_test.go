package replay

import (
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
