package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var outageBegan = time.Date(2024, 1, 15, 2, 0, 7, 0, time.UTC)

// anOutage opens the breaker as a syncer does, after ten calls were answered with 502; then a probe fails.
func anOutage(t *testing.T, database testkit.Database) {
	t.Helper()
	policy := domain.DefaultBreakerPolicy()
	by := func(at time.Time) domain.Moment { return domain.Moment{Now: at, By: "syncer-1/k2m7qa"} }
	_, events, err := pace.NewStore(database.Pool).Change(t.Context(), pace.State{}, func(s pace.State) pace.State {
		var calls domain.CallRecord
		for i := range 10 {
			call := domain.Call{Order: domain.OrderRef{IncrementID: fmt.Sprint(i)}, Began: outageBegan, Epoch: s.Breaker.Epoch, Health: domain.HealthFailing}
			calls = calls.With(call, policy)
		}
		s.Breaker, _ = s.Breaker.Trip(calls, policy, by(outageBegan))
		return s
	}, func(s pace.State) pace.State {
		s.Breaker, _ = s.Breaker.BeginProbe(policy, by(s.Breaker.ProbeAt))
		return s
	}, func(s pace.State) pace.State {
		result := domain.ProbeResult{Epoch: s.Breaker.Epoch, Verdict: domain.ProbeFailing, Said: "HTTP 502"}
		s.Breaker, _ = s.Breaker.EndProbe(result, policy, by(s.Breaker.Since.Add(time.Second)))
		return s
	})
	require.NoError(t, err)
	require.Len(t, events, 3)
}

func testERPStatus(t *testing.T, database testkit.Database, env variables) {
	require.Equal(t, "breaker  closed (calls go out)\ncalls    0 under way, of at most 64 now and 64 by erp_max_in_flight; syncers: 0\n", does(t, env, "erp", "status"))
	anOutage(t, database)
	env["ERP_RATE"] = "20"
	_, err := database.Pool.Exec(t.Context(), `INSERT INTO erp_member (process, joined_at, seen_at, in_flight)
		SELECT p, now(), now() + interval '1 hour', n FROM (VALUES ('syncer-1/k2m7qa', 2), ('syncer-2/x9f3bd', 1)) AS m (p, n)`)
	require.NoError(t, err)
	want := `each order           waits until the ERP works again; calls stopped at 2024-01-15T02:00:07Z: 10 of the newest 10 calls failed, of 10 orders
breaker              open (calls are stopped)
since                2024-01-15T02:00:13Z (syncer-1/k2m7qa)
why                  the probe by the health endpoint failed: HTTP 502
calls stopped since  2024-01-15T02:00:07Z (10 of the newest 10 calls failed, of 10 orders)
next probe           2024-01-15T02:00:23Z
last probe           2024-01-15T02:00:13Z by health: failing (HTTP 502)
calls                3 under way, of at most 0 now and 64 by erp_max_in_flight; syncers: 2
rate                 20 a second

AT                   FROM     TO       BY               WHY
2024-01-15 02:00:13  probing  open     syncer-1/k2m7qa  the probe by the health endpoint failed: HTTP 502
2024-01-15 02:00:12  open     probing  syncer-1/k2m7qa  probes by the health endpoint
2024-01-15 02:00:07  closed   open     syncer-1/k2m7qa  10 of the newest 10 calls failed, of 10 orders
`
	require.Equal(t, want, does(t, env, "erp", "status"))
	page, err := os.ReadFile("../../../../docs/erp.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "$ erpconnector erp status\n"+want)

	var got pace.Report
	said := does(t, env, "erp", "status", "--json")
	require.Equal(t, 1, strings.Count(said, "\n"), "one line")
	require.NoError(t, json.Unmarshal([]byte(said), &got))
	require.Equal(t, []any{domain.BreakerOpen, outageBegan, 20.0, 3}, []any{got.State, *got.StoppedSince, got.Rate, len(got.History)})
	require.Contains(t, got.WaitsFor, "waits until the ERP works again")
	require.Equal(t, "HTTP 502", got.LastProbe.Said)

	_, err = database.Pool.Exec(t.Context(), `UPDATE erp_pace SET breaker = '{}', hold = '{"until": "2999-01-01T00:00:00Z", "why": "the ERP asked to wait by Retry-After"}'`)
	require.NoError(t, err)
	held := does(t, env, "erp", "status")
	require.Regexp(t, `(?m)^each order +waits until 2999-01-01T00:00:00Z, as the ERP asked by Retry-After$`, held)
	require.Regexp(t, `(?m)^held until +2999-01-01T00:00:00Z \(the ERP asked to wait by Retry-After\)$`, held)
}

// What is done by hand is seen at once, with who did it and why, and is never done twice.
func testERPByHand(t *testing.T, _ testkit.Database, env variables) {
	require.Equal(t, "no call goes out to the ERP from now on, until: erpconnector erp close --reason …\n",
		does(t, env, "erp", "open", "--reason", "a new server"))
	p := invoke(t, env, "erp", "open", "--reason", "again")
	require.ErrorContains(t, p.err, "nothing was done: "+osUser()+" has stopped the calls at ")
	require.ErrorContains(t, p.err, " already: a new server")
	require.Equal(t, 1, p.code())
	require.Empty(t, p.out)
	open := does(t, env, "erp", "status")
	require.Regexp(t, `(?m)^each order +waits until calls are let out by hand \(erpconnector erp close\); `+regexp.QuoteMeta(osUser())+` stopped them at \S+Z: a new server$`, open)
	require.Regexp(t, `(?m)^breaker +open \(calls are stopped\)$`, open)
	require.NotContains(t, open, "next probe", "nobody probes")

	require.Equal(t, "all calls go out to the ERP from now on\n", does(t, env, "erp", "close", "--reason", "it has moved"))
	p = invoke(t, env, "erp", "close", "--reason", "again")
	require.EqualError(t, p.err, "nothing was done: calls are not stopped, neither by hand nor by failures; erpconnector erp status shows what else may keep them")
	require.Equal(t, 1, p.code())
	closed := does(t, env, "erp", "status")
	require.NotContains(t, closed, "each order")
	require.Regexp(t, `(?m)^breaker +closed \(calls go out\)$`, closed)
	require.Regexp(t, `(?m)^\S+ \S+ +open +closed +`+regexp.QuoteMeta(osUser())+` +it has moved$`, closed)
	require.Equal(t, 2, strings.Count(closed, osUser()+"  "), "what was refused is no change")
}

// An operator may take an outage over, and may end it: that is known better by hand.
func testERPByHandInAnOutage(t *testing.T, database testkit.Database, env variables) {
	anOutage(t, database)
	does(t, env, "erp", "open", "--reason", "leave it to me")
	taken := does(t, env, "erp", "status")
	require.Contains(t, taken, "stopped them at ")
	require.Regexp(t, `(?m)^calls stopped since +2024-01-15T02:00:07Z \(10 of the newest 10 calls failed, of 10 orders\)$`, taken, "since then, whoever did it")
	does(t, env, "erp", "close", "--reason", "it works")
	anOutage(t, database)
	require.Equal(t, "all calls go out to the ERP from now on\n", does(t, env, "erp", "close", "--reason", "it works"))
	require.NotContains(t, does(t, env, "erp", "status"), "calls stopped since")
}

// `erp close` said that all calls go out, while a window or the ERP's Retry-After kept them.
func testERPClosedInsideOfAWindow(t *testing.T, _ testkit.Database, env variables) {
	env["ERP_WORKING_HOURS"] = fmt.Sprintf("0 8 1 %d * 1h UTC", time.Now().UTC().AddDate(0, 0, 180).Month())
	does(t, env, "erp", "open", "--reason", "a new server")
	require.Regexp(t, `^calls are let out; but each order waits for the ERP's window until \d{4}-\d\d-01T08:00:00Z\n$`,
		does(t, env, "erp", "close", "--reason", "it has moved"))
	require.Regexp(t, `(?m)^window until +\d{4}-\d\d-01T08:00:00Z$`, does(t, env, "erp", "status"))
}

// While the connector is off, nothing goes out whatever the breaker is.
func testERPClosedWhileTheConnectorIsOff(t *testing.T, _ testkit.Database, env variables) {
	env["CONNECTOR_ENABLED"] = "false"
	does(t, env, "erp", "open", "--reason", "a new server")
	require.Equal(t, "calls are let out; but each order waits until the connector is turned on (erpconnector settings set enabled=true)\n",
		does(t, env, "erp", "close", "--reason", "it has moved"))
}

// Without Postgres each command says what to do, and does nothing.
func TestERPWithoutPostgres(t *testing.T) {
	t.Parallel()
	addr := testkit.FreeAddr(t)
	env := variables{"DATABASE_URL": "postgres://u@" + addr + "/db"}
	for _, args := range []string{"erp status", "erp status --json", "erp open --reason x", "erp close --reason x"} {
		p := invoke(t, env, strings.Fields(args)...)
		require.EqualError(t, p.err, "nothing listens at "+addr+": start Postgres there, or name another address in DATABASE_URL", args)
		require.Equal(t, 1, p.code())
		require.Empty(t, p.out)
	}
}

func TestTheERPsStatusTellsOfAFullDisk(t *testing.T) {
	t.Parallel()
	requireTellsOfAFullDisk(t, func(w io.Writer) error { return printERP(w, pace.Report{}) })
}
