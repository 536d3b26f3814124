package commerce

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// A statement of more than 1 GB ends the shop's connection, and with it the transaction.
func TestMoreThanAStatementCarriesIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	start, end := []byte(`{"event_id": "e1", "type": "order.placed", "order": "`), []byte(`"}`)
	large := append(append(start, bytes.Repeat([]byte("x"), 1<<20)...), end...)
	events := make([]Event, maxStatementBytes/len(large)+1)
	for i := range events {
		events[i] = Event{JSON: large}
	}
	_, _, err := Outbox{}.insert(events)
	require.ErrorIs(t, err, ErrIncomplete)
	require.ErrorContains(t, err, "these 256 events have more than 268435456 bytes together; publish fewer at once")
	_, args, err := Outbox{}.insert(events[:4])
	require.NoError(t, err)
	require.Len(t, args, 3)
}
