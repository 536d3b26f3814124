package freeport_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/freeport"
)

// Symptom: two processes of a run of the crash harness had got the same port, and one never started.
func TestNoTwoTestsGetTheSamePort(t *testing.T) {
	t.Parallel()
	const callers, each = 8, 50
	var mu sync.Mutex
	given := map[int]bool{}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range each {
				port, err := freeport.Next()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				given[port] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Len(t, given, callers*each)
}
