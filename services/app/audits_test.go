package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/shared/audits"
)

// A run counts all findings of a report, and keeps the first ones only, however many the command has listed.
func TestARunKeepsTheFirstFindingsOfAReport(t *testing.T) {
	t.Parallel()
	const broken = audits.MaxFindings + 7
	r := audit.Report{At: time.Unix(0, 0), Violations: make([]audit.Violation, broken), ViolationsAll: broken + 100, Broken: map[audit.Kind]int{audit.TwoAlive: broken + 100}}
	got := AuditResult(&r)
	require.Len(t, got.Findings, audits.MaxFindings)
	require.EqualValues(t, broken+100, got.Found)
	require.Equal(t, map[string]int64{"two_alive": broken + 100}, got.ByKind)
	r.Violations = r.Violations[:2]
	require.Len(t, AuditResult(&r).Findings, 2)
}
