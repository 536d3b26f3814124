package spelling_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/spelling"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"orderIncrementId", "source", "newKey", "reason", "erpReference", "wait"}
	for given, want := range map[string]string{
		"sourec":                     "source",
		"Source":                     "source",
		"soruce":                     "source",
		"src":                        "",
		"order_increment_id":         "orderIncrementId",
		"ordrIncrementId":            "orderIncrementId",
		"new-key":                    "newKey",
		"wiat":                       "wait",
		"comment":                    "",
		"":                           "",
		strings.Repeat("source", 99): "",
	} {
		require.Equal(t, want, spelling.Nearest(given, known), given)
	}
}

func TestHint(t *testing.T) {
	t.Parallel()
	require.Equal(t, "did you mean limit?", spelling.Hint("limits", []string{"cursor", "limit"}))
	require.Equal(t, "there are cursor, limit", spelling.Hint("page", []string{"cursor", "limit"}))
	require.Equal(t, "none is taken here", spelling.Hint("page", nil))
}

// A name of any length is compared in a bounded time, and the first of two equally near names is given.
func TestNearestOfLongAndOfEqualNames(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 64)
	require.Equal(t, longest, spelling.Nearest(longest[1:], []string{longest}))
	require.Equal(t, longest, spelling.Nearest(longest, []string{longest}))
	require.Empty(t, spelling.Nearest(longest+"a", []string{longest}), "65 letters are no typing mistake")
	require.Empty(t, spelling.Nearest(strings.Repeat("é", 1<<20), []string{"é"}))
	require.Equal(t, "cat", spelling.Nearest("bat", []string{"cat", "rat"}))
	require.Equal(t, "there is source", spelling.Hint("comment", []string{"source"}))
}
