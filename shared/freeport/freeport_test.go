package freeport_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/freeport"
)

// Symptom: about one run of the crash harness in thirty gave two of its servers the same port.
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
