package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestFailoverToAStandbyThatLagged kills a primary under load. Its standby has lagged and takes its place; shops go on, and send
// some of what was lost again, before anybody looks. The relay stops and names the command. After it, every order that had
// reached Kafka is known to Postgres again, nothing is booked twice, no id names two things, and the audit adds up; also when
// the repair is killed in between and called again.
func TestFailoverToAStandbyThatLagged(t *testing.T) {
	t.Parallel()
	binary := build(t)
	test := func(point string) func(t *testing.T, brokers kafka.Config) {
		return func(t *testing.T, brokers kafka.Config) {
			t.Parallel()
			brokers.Prefix += strings.NewReplacer(":", "-", "_", "-").Replace("failover."+point) + "."
			newFailover(t, binary, brokers).play(t, point)
		}
	}
	t.Run("in_one_go", func(t *testing.T) {
		t.Parallel()
		testkit.OnApacheFirst(t, test(""))
	})
	for _, point := range []string{"repair.batch:2", "repair.restored", "repair.position_written"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			testkit.OnEmbedded(t, test(point))
		})
	}
}

// failover is a product in two processes, one of which takes requests, on a primary and its standby.
type failover struct {
	*crashCase

	back             *crashCase // everything but ingest and api
	primary, standby *testkit.Server

	mu       sync.Mutex
	answered []string // orders that were accepted
}

func newFailover(t *testing.T, binary string, brokers kafka.Config) *failover {
	t.Helper()
	f := &failover{crashCase: newCrashCase(t, binary, brokers), primary: testkit.OwnPostgres(t)}
	f.standby = f.primary.Standby(t)
	f.p.cfg.DatabaseURL = f.standby.Both(t, f.primary)
	back := *f.p
	back.cfg.HTTP.Addr = testkit.FreeAddr(t)
	back.base = "http://" + back.cfg.HTTP.Addr
	f.back = &crashCase{p: &back, binary: binary, erp: f.erp}
	return f
}

func (f *failover) runBack() *process {
	return f.back.run("", "relay", "syncer", "delayer", "projector", "scheduler")
}

func (f *failover) play(t *testing.T, repairDiesAt string) {
	t.Helper()
	f.run("", "ingest", "api")
	back := f.runBack()
	f.listening()
	f.before(t)
	f.standby.Follows(t, f.primary)
	f.standby.StopReceiving(t)
	f.lost(t)
	sold := f.load(t) // while the primary dies
	f.primary.Kill(t)
	f.standby.Promote(t)
	f.p.cfg.DatabaseURL, f.back.p.cfg.DatabaseURL = f.standby.URL, f.standby.URL
	f.again(t)
	sold()
	back.refuses(t)
	f.runBack().refuses(t) // and each time it is started

	f.repair(t, repairDiesAt)
	f.runBack()
	f.afterwards(t)
}

// one publishes an invoice until it is answered.
func (f *failover) one(order string) {
	f.publish([]any{invoice("e"+order, order)})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answered = append(f.answered, order)
}

// before is what the standby has.
func (f *failover) before(t *testing.T) {
	t.Helper()
	for i := range 8 {
		f.one(fmt.Sprint("old-", i))
	}
	for i := range 8 {
		f.p.becomes(fmt.Sprint("old-", i), ended("success"))
	}
}

// lost is what the standby never has heard of, and Kafka has.
func (f *failover) lost(t *testing.T) {
	t.Helper()
	f.erp.Fail(mockerp.Fault{Order: "lost-3", Status: http.StatusServiceUnavailable, Times: 2})
	for i := range 30 {
		f.one(fmt.Sprint("lost-", i))
	}
	for i := range 30 {
		f.p.becomes(fmt.Sprint("lost-", i), ended("success"))
	}
	// An order that is known gets a new snapshot and a new generation, under a new key, as the first one was answered.
	update := invoice("u-old-1", "old-1")
	update["type"], update["order"].(map[string]any)["currency"] = "order.updated", "USD"
	delete(update, "invoice")
	f.publish([]any{update})
	f.resync(t, "old-1", "old-2")
	// Another one waits, and is settled by the ERP.
	f.erp.Fail(mockerp.Fault{Order: "lost-settled", Status: http.StatusInternalServerError, RetryAfter: "6", Times: 1})
	f.one("lost-settled")
	f.p.becomes("lost-settled", func(s map[string]any) bool { return s["next_attempt_at"] != nil })
	status, _ := f.p.accepts("lost-settled", "ERP-settled")
	require.Equal(t, http.StatusOK, status)
	// And one is parked for longer than the failover takes.
	f.erp.Fail(mockerp.Fault{Order: "lost-parked", Status: http.StatusInternalServerError, RetryAfter: "12", Times: 1})
	f.one("lost-parked")
	f.p.becomes("lost-parked", func(s map[string]any) bool { return s["next_attempt_at"] != nil })
}

func (f *failover) resync(t *testing.T, orders ...string) {
	t.Helper()
	for _, order := range orders {
		testkit.Eventually(t, func() bool { // Postgres may be away for a moment
			status, answer := f.p.order("resync-order", order, nil)
			if answer["code"] == "order_success" {
				status, _ = f.p.order("resync-order", order, map[string]any{"newKey": true, "reason": "its currency was wrong"})
			}
			return status == http.StatusOK || status == http.StatusAccepted
		}, "order %s is not sent again", order)
	}
}

// load publishes on and on, for long enough to be under way when the primary dies.
func (f *failover) load(t *testing.T) (done func()) {
	t.Helper()
	before := f.soFar()
	var selling sync.WaitGroup
	for shop := range 3 {
		selling.Go(func() {
			for i := range 60 {
				f.one(fmt.Sprintf("during-%d-%d", shop, i))
			}
		})
	}
	testkit.Eventually(t, func() bool { return f.soFar() >= before+20 }, "no order is accepted")
	return selling.Wait
}

func (f *failover) soFar() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.answered)
}

// again is what comes after the failover before anybody looks: new orders, some of what was lost once more, and a resync of
// one whose resync was lost.
func (f *failover) again(t *testing.T) {
	t.Helper()
	for i := range 5 {
		f.one(fmt.Sprint("lost-", i))
		f.one(fmt.Sprint("new-", i))
	}
	f.resync(t, "old-2")
}

// repair looks first, then mends; it may be killed, and called again.
func (f *failover) repair(t *testing.T, diesAt string) {
	t.Helper()
	code, out := f.program(t, "", "repair")
	require.Equal(t, 1, code, out)
	for _, what := range []string{"is not here", "lost here, restored from Kafka", "lost-17", "fact of sync", "not relayed again"} {
		require.Contains(t, out, what)
	}
	require.NotContains(t, out, "\nold-5")
	if diesAt != "" {
		code, out = f.program(t, diesAt, "repair", "--yes")
		require.Equal(t, -1, code, "the point %s was not passed: %s", diesAt, out)
		f.runBack().refuses(t)
	}
	code, out = f.program(t, "", "repair", "--yes")
	require.Zero(t, code, out)
	t.Log(out)
	code, out = f.program(t, "", "repair")
	require.Zero(t, code, out)
	require.Contains(t, out, "nothing differs")
}

// program runs a command to its end; killed, its code is -1.
func (f *failover) program(t *testing.T, crashAt string, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	cmd := f.p.program(f.binary, args...)
	cmd.Env = append(cmd.Env, "ERPCONNECTOR_FAILPOINT="+crashAt)
	cmd.Stdout, cmd.Stderr = &b, &b
	p := launch(t, cmd)
	testkit.Await(t, p.done)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -1, b.String()
	}
	return cmd.ProcessState.ExitCode(), b.String()
}

// afterwards checks what is left.
func (f *failover) afterwards(t *testing.T) {
	t.Helper()
	log := f.quiet(t)
	gone := 0
	for _, order := range f.answered { // what never reached Kafka is gone with the primary: its shop sends it again
		if log[order] == nil {
			gone++
			f.one(order)
		}
	}
	t.Logf("%d of %d orders never reached Kafka and were lost with the primary", gone, len(f.answered))
	log = f.quiet(t)
	booked := map[string]bool{}
	for _, order := range f.answered {
		require.NotNil(t, log[order], order)
		f.p.becomes(order, func(s map[string]any) bool { return s["status"] == "success" })
		booked[order] = true
	}
	require.NotNil(t, f.p.becomes("lost-settled", ended("success"))["erp_reference"])
	f.requireIDsOfTheirOwn(t, log)
	f.requireTableIsLog(t, log)
	f.p.conserved()
	code, out := f.program(t, "", "verify")
	require.Zero(t, code, out)
	calls := len(f.erp.Calls("lost-7"))
	f.one("lost-7") // the database knows it again
	require.Len(t, f.erp.Calls("lost-7"), calls)
	f.requireBookings(t, len(booked))
	require.EqualValues(t, 1, f.p.count(`SELECT count(*) FROM erp_callback WHERE order_key LIKE '%lost-settled'`))
	require.EqualValues(t, 1, f.p.count(`SELECT count(*) FROM sales_order WHERE increment_id = 'old-1' AND snapshot ->> 'currency' = 'USD'`))
	require.Zero(t, f.p.count(`SELECT count(*) FROM sales_order WHERE erp_synced = 0`))
	require.Zero(t, f.p.count(`SELECT count(*) FROM erp_sync_gate WHERE state <> 'closed'`))
	require.Zero(t, f.p.count(`SELECT count(*) FROM erp_repair`))
}

// requireIDsOfTheirOwn: an order has one sync id, and no two orders have the same.
func (f *failover) requireIDsOfTheirOwn(t *testing.T, log map[string][]logged) {
	t.Helper()
	owners := map[int64]string{}
	for order, facts := range log {
		var id int64
		for _, fact := range facts {
			if fact.topic == event.TopicSalesOrder {
				continue
			}
			if id == 0 {
				id = fact.value.Sync.SyncID
			}
			require.Equal(t, id, fact.value.Sync.SyncID, "order %s has two syncs", order)
		}
		require.Empty(t, owners[id], "order %s has the sync of another one", order)
		owners[id] = order
	}
}

// requireBookings: each order is booked once. Two have a second booking, by a resync that somebody has asked for after the
// first one was answered; of one of them it was lost with the primary, and asked for again: it is made once.
func (f *failover) requireBookings(t *testing.T, orders int) {
	t.Helper()
	stats := f.erp.Stats()
	require.Equal(t, 2, stats.Doubles)
	require.Contains(t, []int{orders + 2, orders + 1}, stats.Bookings, "the one that was settled may not have been called")
}
