package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// The groups lose their offsets and are set to the start of a log that is still there: all of it is read again, the retries that
// had been forwarded as well. Generations that were superseded, settled or cancelled ended a second time, and a retry that waited was
// called twice. Half of it happened while no projector ran, so that the projection knows nothing of it when the offsets are reset.
func TestALogThatIsReadAgainEndsNothingTwice(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) {
		c := &rereading{newCrashCase(t, binary, brokers)}
		c.with = append(c.with, "ERP_BREAKER=false") // so many orders without luck would be an outage
		session := c.run("")
		c.listening()
		c.endsOfAllKinds("seen-")
		session.terminated(t)

		session = c.run("", "ingest", "relay", "syncer", "delayer", "scheduler", "api")
		c.listening()
		c.endsOfAllKinds("unseen-")
		c.wait("parked", "parked-settled", "parked-superseded")
		c.p.accepts("parked-settled", "ERP-CB")
		c.supersede("parked-superseded")
		c.ended("parked-superseded", 1)
		c.forwarded()
		session.terminated(t)
		calls := c.calls()
		log := c.log(t)
		doubles := c.erp.Stats().Doubles // one where a rejecting callback came after the booking, as on a slow machine

		c.forgetOffsets()
		said, err := c.topics("ensure", "--reset-missing-offsets")
		require.NoError(t, err, said)
		c.run("")
		c.listening()
		c.atRest()
		calls["parked"] = 2 // its first call, and the one that it was parked for
		require.Equal(t, calls, c.calls())
		require.Equal(t, doubles, c.erp.Stats().Doubles)
		again := c.log(t)
		require.Len(t, again, len(log))
		for order, facts := range again {
			requireOneEndOfEachGeneration(t, order, facts)
			requireEachOutcomeOnce(t, order, facts)
		}
		c.requireTableIsLog(t, again)
	})
}

type rereading struct{ *crashCase }

const parkedFor = 12 * time.Second // some forwards, and the time of a restart

// wait brings orders to where each waits for a retry.
func (c *rereading) wait(orders ...string) {
	c.p.t.Helper()
	for _, order := range orders {
		c.erp.Fail(mockerp.Fault{Order: order, Status: http.StatusInternalServerError, RetryAfter: fmt.Sprint(int(parkedFor.Seconds())), Times: 1})
		c.publish([]any{invoice("e"+order, order)})
	}
	for _, order := range orders {
		c.until(order+" waits", func(log map[string][]logged) bool { return count(log[order], event.TopicAfterSend) == 1 })
	}
}

// endsOfAllKinds brings orders to each end that a generation may have.
func (c *rereading) endsOfAllKinds(prefix string) {
	c.p.t.Helper()
	order := func(name string) string { return prefix + name }
	for name, fault := range map[string]mockerp.Fault{
		"failed": {Status: http.StatusUnprocessableEntity, Times: 1},
		"busy":   {Status: http.StatusServiceUnavailable, Times: 1},
		"used":   {Status: http.StatusServiceUnavailable},
		"again":  {Status: http.StatusUnprocessableEntity, Times: 1}, "settled": parkedShortly, "cancelled": parkedShortly, "superseded": parkedShortly,
	} {
		fault.Order = order(name)
		c.erp.Fail(fault)
	}
	all := []string{"success", "failed", "busy", "used", "again", "settled", "cancelled", "superseded"}
	for _, name := range all {
		c.publish([]any{invoice("e"+order(name), order(name))})
	}
	for _, name := range []string{"settled", "cancelled", "superseded", "again"} {
		c.until(name+" waits", func(log map[string][]logged) bool { return count(log[order(name)], event.TopicAfterSend) == 1 })
	}
	c.p.accepts(order("settled"), "ERP-CB")
	status, answer := c.p.order("settle-order?wait=0", order("cancelled"), map[string]any{"reason": "a test", "erpReference": "HAND"})
	require.Equal(c.p.t, http.StatusOK, status, "%v", answer)
	c.supersede(order("superseded"))
	c.resync(order("again"))
	for _, name := range all {
		ends := 1
		if name == "superseded" || name == "again" {
			ends = 2
		}
		c.ended(order(name), ends)
	}
}

// supersede makes a new generation of an order that waits for a retry. That it waits is known to nobody where no projector runs;
// that the ERP has rejected it is.
func (c *rereading) supersede(order string) {
	c.p.t.Helper()
	c.p.callback(map[string]any{"orderIncrementId": order, "status": "rejected"}, byModule)
	c.resync(order)
}

func (c *rereading) resync(order string) {
	c.p.t.Helper()
	testkit.Eventually(c.p.t, func() bool { // once the gate knows of the end
		_, answer := c.p.order("resync-order?wait=0", order, nil)
		return answer["generation"] == 2.0
	}, "generation 2 of order %s is not made", order)
}

var parkedShortly = mockerp.Fault{Status: http.StatusInternalServerError, RetryAfter: "4", Times: 1}

func (c *rereading) ended(order string, ends int) {
	c.p.t.Helper()
	c.until(fmt.Sprint(order, " has ", ends, " ends"), func(log map[string][]logged) bool {
		return count(log[order], event.TopicSuccess)+count(log[order], event.TopicFailed) == ends
	})
}

func count(facts []logged, topic string) (n int) {
	for _, f := range facts {
		if f.topic == topic {
			n++
		}
	}
	return n
}

// until waits for what the log says.
func (c *rereading) until(what string, holds func(log map[string][]logged) bool) {
	c.p.t.Helper()
	testkit.Eventually(c.p.t, func() bool { return holds(c.log(c.p.t)) }, "%s", what)
}

// calls are how often the ERP was called for each order.
func (c *rereading) calls() map[string]int {
	out := map[string]int{}
	for order := range c.log(c.p.t) {
		out[order] = len(c.erp.Calls(order))
	}
	return out
}

func (c *rereading) admin() *kadm.Client {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.p.cfg.KafkaBrokers...))
	require.NoError(c.p.t, err)
	c.p.t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// forwarded waits until the parked retries were forwarded once: then each has a copy that was consumed.
func (c *rereading) forwarded() {
	c.p.t.Helper()
	adm, tier := c.admin(), c.p.cfg.TopicPrefix+"vendor_erp_sync_retry_4s"
	testkit.Eventually(c.p.t, func() bool {
		offsets, err := adm.FetchOffsets(c.p.t.Context(), c.p.cfg.TopicPrefix+string(event.GroupDelayer))
		var done int64
		offsets.Each(func(o kadm.OffsetResponse) {
			if o.Topic == tier {
				done += o.At
			}
		})
		return err == nil && done >= 3
	}, "no retry was forwarded")
}

func (c *rereading) forgetOffsets() {
	c.p.t.Helper()
	prefix := c.p.cfg.TopicPrefix
	groups := []string{prefix + string(event.GroupSyncer), prefix + string(event.GroupDelayer)}
	testkit.Eventually(c.p.t, func() bool { // once their members have left
		deleted, err := c.admin().DeleteGroups(c.p.t.Context(), groups...)
		return err == nil && deleted.Error() == nil
	}, "the groups have members still")
	said, err := c.topics("check")
	require.Error(c.p.t, err)
	require.Contains(c.p.t, said, "--reset-missing-offsets")
}

// topics is the command.
func (c *crashCase) topics(args ...string) (said string, err error) {
	cmd := exec.CommandContext(c.p.t.Context(), c.binary, append([]string{"topics"}, args...)...) //nolint:gosec // built by this test
	cmd.Env = c.environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// atRest waits until an audit finds nothing broken and nothing alive: whatever was read again is consumed.
func (c *rereading) atRest() {
	c.p.t.Helper()
	pool, err := pgxpool.New(c.p.t.Context(), c.p.cfg.DatabaseURL)
	require.NoError(c.p.t, err)
	defer pool.Close()
	deadline := time.Now().Add(testkit.Patience)
	for {
		r, err := audit.Run(c.p.t.Context(), audit.Params{Kafka: kafka.Config{Brokers: c.p.cfg.KafkaBrokers, Prefix: c.p.cfg.TopicPrefix}, Pool: pool})
		require.NoError(c.p.t, err)
		total := r.Total()
		if r.Conserved() && total.Alive.Sum() == 0 && total.UnderWay == 0 {
			return
		}
		require.True(c.p.t, time.Now().Before(deadline), "alive %+v, breaks %+v", total.Alive, r.Violations)
	}
}

// requireEachOutcomeOnce checks that each record is in the log once, but for intents.
func requireEachOutcomeOnce(t *testing.T, order string, facts []logged) {
	t.Helper()
	seen := map[string]bool{}
	for _, f := range facts {
		require.False(t, f.topic != event.TopicBeforeSend && seen[f.id], "order %s: %s", order, f.id)
		seen[f.id] = true
	}
}
