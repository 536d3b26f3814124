package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	good, bad, broken := filepath.Join(t.TempDir(), "good"), filepath.Join(t.TempDir(), "bad"), filepath.Join(t.TempDir(), "broken")
	require.NoError(t, (&history.History{Seed: 7}).Save(good))
	lost := history.Publication{Door: "http", EventID: "evt-1", Type: "order.placed", Source: "default", Order: "1", Outcome: history.Accepted}
	require.NoError(t, (&history.History{Publications: []history.Publication{lost}}).Save(bad))
	require.NoError(t, os.WriteFile(broken, []byte("{"), 0o600))

	var out, problems strings.Builder
	require.Equal(t, 0, judge([]string{good}, &out, &problems))
	require.Contains(t, out.String(), "seed 7")
	require.Contains(t, out.String(), "no violation")
	require.Equal(t, 1, judge([]string{bad}, &out, &problems))
	require.Contains(t, out.String(), "promise 1: an accepted event that is lost: order 1 of default: order.placed default:evt-1 by http")
	require.Empty(t, problems.String())
	require.Equal(t, 2, judge([]string{broken}, &out, &problems))
	require.Contains(t, problems.String(), broken)
	require.Equal(t, 2, judge(nil, &out, &problems))
	require.Contains(t, problems.String(), "usage")
}
