package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/services/erpconnector/internal/replay"
	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/pace"
)

// hostile is what a terminal obeys: it clears the screen, ends the line, turns text around, and begins a sequence in one byte.
const hostile = "id\x1b[2J\r\n\u202e\u009b31m\x07\x00\xff"

// An escape in an event id cleared the operator's screen, and could print what was never there.
func TestWhatOthersWroteIsPrintedHarmless(t *testing.T) {
	t.Parallel()
	wrong := []client.FieldError{{Pointer: new("/" + hostile), Detail: "is " + hostile}}
	entry := shownEntry{Other: []byte(`{"a": "` + hostile + `"}`), QuarantineEntry: client.QuarantineEntry{Id: 7, Source: hostile, EventId: new(hostile), Code: "refused", Errors: wrong}}
	setting := client.SettingEntry{Name: "erp_base_url", Value: hostile, ChangedAt: new(time.Unix(0, 0)), ChangedBy: new(hostile)}
	past := client.SettingChange{Name: hostile, ChangedBy: hostile, Reason: new(hostile), Before: hostile}
	audited := &audit.Report{
		Sources: []*audit.Counts{{Source: hostile}}, Violations: []audit.Violation{{Source: hostile, Order: hostile, Topic: hostile, Found: hostile, Kind: "two_alive"}},
	}
	erp := pace.Report{
		Status:  pace.Status{Why: hostile, By: hostile, StoppedWhy: hostile, HeldWhy: hostile, WaitsFor: hostile, LastProbe: &domain.Probed{Said: hostile}, Since: new(time.Unix(0, 0))},
		History: []pace.Past{{BreakerEvent: domain.BreakerEvent{By: hostile, Why: hostile}}},
	}
	erp.StoppedSince, erp.HeldUntil = erp.Since, erp.Since
	letter := letterRecord{Other: []byte(hostile), Headers: map[string]string{hostile: hostile}, DeadLetter: client.DeadLetter{
		Id: 7, WrittenBy: hostile, Topic: hostile, Key: hostile, CeId: hostile, Reason: hostile, State: "discarded", StoppedGeneration: new(1), DecidedBy: new(hostile),
		DecidedAt: new("2024-01-15T10:30:00Z"), Decision: new(hostile),
	}}
	for name, print := range map[string]func(w *bytes.Buffer) error{
		"quarantine list": func(w *bytes.Buffer) error {
			return printRows(w, quarantineListing, "table", entry.QuarantineEntry)
		},
		"quarantine show": func(w *bytes.Buffer) error { return printEntry(w, entry) },
		"quarantine send": func(w *bytes.Buffer) error {
			told := &toldEntries{w: w}
			told.result(client.QuarantineBulkResult{Id: 7, Result: "refused", Errors: &wrong})
			told.sent(client.SentEntry{Id: 8, Result: "accepted", OrderIncrementId: new(hostile)})
			return nil
		},
		"settings":         func(w *bytes.Buffer) error { return printRows(w, settingListing, "table", setting) },
		"settings get":     func(w *bytes.Buffer) error { return printSetting(w, setting) },
		"settings history": func(w *bytes.Buffer) error { return printRows(w, historyListing, "table", past) },
		"erp status":       func(w *bytes.Buffer) error { return printERP(w, erp) },
		"audit":            func(w *bytes.Buffer) error { return printReport(w, audited, false) },
		"verify": func(w *bytes.Buffer) error {
			printDifference(w)(projector.Difference{Source: hostile, OrderIncrementID: hostile, Column: "last_error", Live: hostile, Log: hostile})
			return nil
		},
		"verify dead letters": func(w *bytes.Buffer) error {
			printDifference(w)(projector.Difference{Line: hostile, Column: "reason", Live: hostile, Log: hostile})
			return nil
		},
		"deadletter list": func(w *bytes.Buffer) error {
			return printRows(w, letterListing, "table", letter.DeadLetter)
		},
		"deadletter show": func(w *bytes.Buffer) error { return printLetter(w, letter) },
		"replay": func(w *bytes.Buffer) error {
			r := &kgo.Record{Topic: hostile, Key: []byte(hostile), Timestamp: time.Unix(0, 0)}
			return replay.Timeline(kafka.Config{}, w).Take(t.Context(), []*kgo.Record{r})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			require.NoError(t, print(&out))
			requireHarmless(t, out.String())
			require.Contains(t, out.String(), `id\x1b[2J\r`)
		})
	}
}

// requireHarmless lets nothing pass that is neither printable nor the end of a line.
func requireHarmless(t *testing.T, text string) {
	t.Helper()
	for _, obeyed := range []string{"\x1b", "\r", "\x07", "\x00", "\u202e", "\u009b"} {
		require.NotContains(t, text, obeyed)
	}
	require.Equal(t, strings.ToValidUTF8(text, ""), text)
}

// A flag that belongs to another one was passed over: `deadletter list --source outlet` listed the letters of all shops.
func TestFlagsThatSelectNothingAreRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"deadletter list --state lost":                              "--state is",
		"deadletter list --limit 0":                                 "--limit is 0",
		"deadletter discard 7":                                      "--reason is required",
		"erp open --reason a\x1b[2J":                                "--reason contains the control character U+001B; remove it",
		"erp close --reason a\xff":                                  "--reason is not valid UTF-8",
		"deadletter discard 7 --reason a\x1b[2J":                    "--reason contains the control character U+001B; remove it",
		"deadletter discard 7 --reason a\xff":                       "--reason is not valid UTF-8",
		"replay --from 2024-01-15 --source outlet":                  "--source goes with --order",
		"quarantine send 7 --source outlet":                         "--source, --code and the others go with --all",
		"quarantine list --code refusd":                             "did you mean refused?",
		"quarantine list --event-id=":                               "--event-id is empty; leave it out to select all",
		"quarantine discard 7 --reason a\x1b[2J":                    "--reason contains the control character U+001B; remove it",
		"quarantine list --source Outlet":                           `source "Outlet" must be`,
		"settings history nmae":                                     "is no setting",
		"deadletter redrive 7 --reason " + strings.Repeat("x", 501): "--reason has 501 bytes; at most 500 are taken",
	} {
		cmd := Root()
		cmd.SetArgs(strings.Split(args, " "))
		require.ErrorContains(t, cmd.ExecuteContext(t.Context()), want, args)
	}
}
