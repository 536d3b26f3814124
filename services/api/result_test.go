package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/orders"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// doneTo is what a command did to an order in generation 2.
func doneTo(state domain.OrderState, action domain.Action) orders.Result {
	ref := domain.OrderRef{Source: "shop-b", IncrementID: "1"}
	return orders.Result{State: state, Action: action, Gate: domain.Gate{Ref: ref, SyncID: 7, Generation: 2, State: domain.GateOpen}}
}

func TestTheAnswerToACommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   commandKind
		action domain.Action
		row    generation
		code   int
		want   result
	}{
		"it has reached the ERP": {
			syncCommand, domain.ActCreate,
			generation{status: domain.Success, attempts: 1, reference: new("R")},
			http.StatusOK,
			result{Success: true, Status: domain.Success, Message: "Order synced successfully", Attempts: 1, ErpReference: new("R")},
		},
		"a resync has its own words": {
			resyncCommand, domain.ActResync,
			generation{status: domain.Success, attempts: 1},
			http.StatusOK,
			result{Success: true, Status: domain.Success, Message: "Order resynced successfully", Attempts: 1},
		},
		"it failed": {
			syncCommand, domain.ActNothing,
			generation{status: domain.Failed, attempts: 5, lastError: new("no")},
			http.StatusOK,
			result{Status: domain.Failed, Message: "Order sync failed", Attempts: 5, LastError: new("no"), Detail: "resync-order sends it again"},
		},
		"a cancelled order has failed, and that is a success": {
			cancelCommand, domain.ActSettle,
			generation{status: domain.Failed},
			http.StatusOK,
			result{Success: true, Status: domain.Failed, Message: "Order cancelled"},
		},
		"an order that is settled": {
			settleCommand, domain.ActSettle,
			generation{status: domain.Success},
			http.StatusOK,
			result{Success: true, Status: domain.Success, Message: "Order settled"},
		},
		"it waits for a retry": {
			sendNowCommand, domain.ActNothing,
			generation{status: domain.Queued, attempts: 1, next: &noon},
			http.StatusAccepted,
			result{
				Status: domain.Queued, Message: "Order sync is under way", Attempts: 1, NextAttemptAt: new("2026-01-01 12:00:00"),
				Detail: "sync-status shows where it stands",
			},
		},
		"it is being called": {
			syncCommand, domain.ActNothing,
			generation{status: domain.InProgress},
			http.StatusAccepted,
			result{Status: domain.InProgress, Message: "Order sync is under way", Detail: "sync-status shows where it stands"},
		},
		"somebody was faster": {
			resyncCommand, domain.ActResync,
			generation{status: domain.Success, newer: true},
			http.StatusOK,
			result{
				Status: domain.Failed, Message: "Order resync failed",
				Detail: "somebody asked for a newer resync before this one had ended; sync-status shows where that one stands",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.want.SyncID, c.want.OrderIncrementID, c.want.Source, c.want.Generation = 7, "1", "shop-b", 2
			code, got := resultOf(c.kind, doneTo(domain.StateQueued, c.action), c.row)
			require.Equal(t, c.code, code)
			require.Equal(t, c.want, got)
		})
	}
}

// A refusal says what to do next, and its code names the state.
func TestARefusalSaysWhatIsPossible(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   commandKind
		state  domain.OrderState
		action domain.Action
		status int
		code   string
		says   string
	}{
		"nobody has published it":    {syncCommand, domain.StateUnknown, domain.RefuseNotFound, 404, "order_not_found", "publish it first"},
		"it was never to be sent":    {cancelCommand, domain.StateKnown, domain.RefuseNotFound, 404, "order_not_found", "sync-order sends it"},
		"it would be booked twice":   {resyncCommand, domain.StateSuccess, domain.RefuseConflict, 409, "order_success", `"newKey": true and a "reason"`},
		"it is too late to cancel":   {cancelCommand, domain.StateInFlight, domain.RefuseConflict, 409, "order_in_flight", "or settle it; nothing was done (cancel)"},
		"it is on its way":           {cancelCommand, domain.StateQueued, domain.RefuseConflict, 409, "order_queued", "wait for its end, or settle it"},
		"it has failed":              {sendNowCommand, domain.StateFailed, domain.RefuseConflict, 409, "order_failed", "resync-order sends it again"},
		"there is nothing to cancel": {cancelCommand, domain.StateSuccess, domain.RefuseConflict, 409, "order_success", "has reached the ERP already"},
	} {
		p := refusal(c.kind, doneTo(c.state, c.action))
		require.Equal(t, []any{c.status, c.code, "1", "shop-b"}, []any{p.Status, p.Code, p.OrderIncrementID, p.Source}, name)
		require.Contains(t, p.Detail, c.says, name)
	}
}

// Every state in which some command is refused has words of its own.
func TestEveryConflictHasWords(t *testing.T) {
	t.Parallel()
	for _, request := range domain.Requests {
		for _, state := range domain.OrderStates {
			if domain.ActionFor(request, state) == domain.RefuseConflict {
				require.NotEmpty(t, possible[state], "%s of an order that is %s", request, state)
			}
		}
	}
}

// The row may show an older generation, or an older fact, than the one that a caller waits for.
func TestWhatARowSaysOfAGeneration(t *testing.T) {
	t.Parallel()
	g := doneTo("", "").Gate
	g.Version, g.UpdatedAt = domain.RequestVersion(2, 0), noon
	stopped := g
	stopped.State, stopped.ClosedBy = domain.GateClosed, domain.ClosedByDeadLetter
	row := func(number int, version domain.Version, status domain.Status) projected {
		return projected{number: number, stamp: domain.Stamp{Version: version, Time: noon}, row: generation{status: status, attempts: 1}}
	}
	for name, c := range map[string]struct {
		gate  domain.Gate
		row   projected
		want  generation
		ended bool
	}{
		"there is none yet":       {g, projected{stamp: domain.Stamp{Version: -1}}, generation{status: domain.Queued}, false},
		"an older generation":     {g, row(1, domain.AttemptVersion(1, 1, domain.PhaseTerminal), domain.Success), generation{status: domain.Queued}, false},
		"this one, under way":     {g, row(2, domain.AttemptVersion(2, 1, domain.PhaseBefore), domain.InProgress), generation{status: domain.InProgress, attempts: 1}, false},
		"this one, ended":         {g, row(2, domain.AttemptVersion(2, 1, domain.PhaseTerminal), domain.Success), generation{status: domain.Success, attempts: 1}, true},
		"this one, failed":        {g, row(2, domain.AttemptVersion(2, 1, domain.PhaseTerminal), domain.Failed), generation{status: domain.Failed, attempts: 1}, true},
		"a newer one":             {g, row(3, domain.RequestVersion(3, 0), domain.Queued), generation{status: domain.Queued, attempts: 1, newer: true}, true},
		"not the gate's own fact": {stopped, projected{number: 1}, generation{status: domain.Failed, lastError: new(domain.DeadLetterText(g.Ref))}, false},
	} {
		got, ended := c.row.of(c.gate)
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.ended, ended, name)
	}
}
