package cli

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/projector"
)

// Each difference is one line that says of what it is, and where it stands.
func TestADifferenceIsALine(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]projector.Difference{
		"outlet 1 (sync 7): status: live queued, log success\n":                            {Source: "outlet", OrderIncrementID: "1", SyncID: 7, Column: "status", Live: "queued", Log: "success"},
		"default 1 (sync 7): last_error: live , log 12 bytes\n":                            {Source: "default", OrderIncrementID: "1", SyncID: 7, Column: "last_error", Log: "12 bytes"},
		"default 1 (sync 7): only in the live table\n":                                     {Source: "default", OrderIncrementID: "1", SyncID: 7, OnlyIn: "live"},
		"default 1 (sync 7): only in the log\n":                                            {Source: "default", OrderIncrementID: "1", SyncID: 7, OnlyIn: "log"},
		"timeline vendor_erp_sync_success/3@17 (sync 7): only on the timeline\n":           {Line: "vendor_erp_sync_success/3@17", SyncID: 7, OnlyIn: "live"},
		"timeline vendor_erp_sync_success/3@17 (sync 7): only in the log\n":                {Line: "vendor_erp_sync_success/3@17", SyncID: 7, OnlyIn: "log"},
		"timeline vendor_erp_sync_success/3@17 (sync 7): version: live 1, log 2\n":         {Line: "vendor_erp_sync_success/3@17", SyncID: 7, Column: "version", Live: "1", Log: "2"},
		"dead letter vendor_erp_sync_dead_letter/0@5: only in the table of dead letters\n": {Line: "vendor_erp_sync_dead_letter/0@5", OnlyIn: "live"},
		"dead letter vendor_erp_sync_dead_letter/0@5: only in the log\n":                   {Line: "vendor_erp_sync_dead_letter/0@5", OnlyIn: "log"},
		`dead letter x\ny/0@5: reason: live a\tb, log \x00` + "\n":                         {Line: "x\ny/0@5", Column: "reason", Live: "a\tb", Log: "\x00"},
	} {
		var out strings.Builder
		printDifference(&out)(d)
		require.Equal(t, want, out.String())
	}
}

// The last lines say what was compared; a difference of any of the three is an error with exit code 1.
func TestAVerdictIsPrinted(t *testing.T) {
	t.Parallel()
	equal := projector.Verdict{Offsets: 99, Rows: 7, Timeline: projector.Lines{Compared: 20}, DeadLetters: projector.Lines{Compared: 2}}
	var out strings.Builder
	require.NoError(t, printVerdict(&out, equal))
	require.Equal(t, `7 rows compared at offset 99 of the log in all: 0 differ, 0 only in the live table, 0 only in the log
20 lines of the timeline compared: 0 differ, 0 only on the timeline, 0 only in the log
2 dead letters compared: 0 differ, 0 only in the table, 0 only in the log
`, out.String())
	for name, change := range map[string]func(v *projector.Verdict){
		"a_row_differs":            func(v *projector.Verdict) { v.Differing = 1 },
		"a_row_too_many":           func(v *projector.Verdict) { v.OnlyInLive = 1 },
		"a_row_too_few":            func(v *projector.Verdict) { v.OnlyInLog = 1 },
		"a_line_differs":           func(v *projector.Verdict) { v.Timeline.Differing = 1 },
		"a_line_too_many":          func(v *projector.Verdict) { v.Timeline.OnlyInLive = 1 },
		"a_line_too_few":           func(v *projector.Verdict) { v.Timeline.OnlyInLog = 1 },
		"a_dead_letter_differs":    func(v *projector.Verdict) { v.DeadLetters.Differing = 1 },
		"a_dead_letter_too_many":   func(v *projector.Verdict) { v.DeadLetters.OnlyInLive = 1 },
		"a_dead_letter_is_missing": func(v *projector.Verdict) { v.DeadLetters.OnlyInLog = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := equal
			change(&v)
			var out strings.Builder
			err := printVerdict(&out, v)
			require.EqualError(t, err, "the live table is not what the log says: docs/verify.md says what to do")
			require.Equal(t, 1, ExitCode(err))
			require.Contains(t, out.String(), " 1 ")
		})
	}
	require.ErrorIs(t, printVerdict(&fullDisk{}, projector.Verdict{Differing: 1}), errDiskFull)
}

// How far a long reading is, is told once a second, with its pace since the last line.
func TestProgressIsToldOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		told, _ := progress(&out)
		for step := range int64(100) { // 3 s
			told(projector.Progress{Done: 1000 + 30*step, Of: 5000})
			time.Sleep(30 * time.Millisecond) // by the clock of the bubble: nobody waits
		}
		require.Equal(t, "2020 of 5000 offsets of the log, 1000 a second\n3040 of 5000 offsets of the log, 1000 a second\n", out.String())
	})
}
