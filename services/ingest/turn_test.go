package ingest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// Of four batches of 14 MiB at once each took some 300 MB.
func TestLargeBatchesAreWorkedOnOneAtATime(t *testing.T) {
	t.Parallel()
	h := &handler{large: make(chan struct{}, 1)}
	require.True(t, h.turn(t.Context()))
	left, leave := context.WithCancel(t.Context())
	leave()
	require.False(t, h.turn(left), "another waits, and its shop leaves")
	second := make(chan bool)
	go func() { second <- h.turn(t.Context()) }()
	<-h.large
	require.True(t, <-second)
}
