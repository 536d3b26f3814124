package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A secret that was changed on disk was in force only after a restart of every process.
func TestASecretIsReadAgainWhenItsFileChanges(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	write := func(text string, at time.Duration) {
		t.Helper()
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.NoError(t, os.Chtimes(file, now.Add(at), now.Add(at)))
	}
	var reports []string
	write("first\n", 0)
	f := newFileSecret(file, "first", SecretKey, func(err error) {
		if err == nil {
			reports = append(reports, "")
		} else {
			reports = append(reports, err.Error())
		}
	})
	clock := now
	f.now = func() time.Time { return clock }
	later := func(want Secret) {
		t.Helper()
		clock = clock.Add(lookInterval)
		require.Equal(t, want, f.current())
	}
	require.Equal(t, Secret("first"), f.current())
	write("other\n", time.Minute)
	require.Equal(t, Secret("first"), f.current(), "it is looked at once a second")
	later("other")
	later("other")
	require.Equal(t, []string{""}, reports)

	write("\n", 2*time.Minute)
	later("other")
	later("other")
	require.NoError(t, os.Remove(file))
	later("other")
	later("other")
	require.Len(t, reports, 3, "each content that cannot be used is reported once")
	require.Contains(t, reports[1], "is empty: write the secret into it")
	write("third", 3*time.Minute)
	later("third")
	require.Empty(t, reports[3])

	fixed := newFileSecret("", "fixed", SecretKey, nil)
	require.Equal(t, Secret("fixed"), fixed.current())
}
