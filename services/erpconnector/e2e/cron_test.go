package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// cronRun is `erpconnector cron run` with nothing but DATABASE_URL.
func cronRun(t *testing.T, url string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.Root()
	cmd.SetArgs([]string{"cron", "run"})
	cmd.SetOut(&out)
	err := cmd.ExecuteContext(withEnvironment(t.Context(), map[string]string{"DATABASE_URL": url}))
	return out.String(), err
}

func stands(status string) func(map[string]any) bool {
	return func(s map[string]any) bool { return s["status"] == status }
}

func (p *product) bookings() any {
	p.t.Helper()
	_, stats := p.do(http.MethodGet, "/mockerp/stats", nil)
	require.InDelta(p.t, 0, stats["doubles"], 0)
	return stats["bookings"]
}

// Orders wait for the cron, and one run by hand brings a batch of them to the ERP, those that came first before others.
func TestCronRunByHand(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		cfg.Settings.ImmediateSync, cfg.Settings.CronSchedule = false, "0 0 29 2 *"
		must(t)(settingsCLI(t, cfg.DatabaseURL, "set", "cron_batch=2"))
		p := start(t, cfg)
		for _, order := range []string{"3", "1", "2"} {
			p.publish(invoice("e"+order, order))
			p.becomes(order, stands("pending"))
		}
		require.Equal(t, "2 orders released; 1 still wait for the cron\n", must(t)(cronRun(t, cfg.DatabaseURL)))
		p.becomes("3", ended("success"))
		p.becomes("1", ended("success"))
		p.becomes("2", stands("pending"))

		p.set(`{"enabled": false}`)
		_, err := cronRun(t, cfg.DatabaseURL)
		require.ErrorContains(t, err, "the connector is off, so no order is released: turn it on")
		p.set(`{"enabled": true}`)
		require.Equal(t, "1 order released; 0 still wait for the cron\n", must(t)(cronRun(t, cfg.DatabaseURL)))
		p.becomes("2", ended("success"))
		require.InDelta(t, 3, p.bookings(), 0)
	})
}

// turnedOff turns the connector off and returns once it is in force, with the orders that were published to see that.
func (p *product) turnedOff() (orders []string) {
	p.t.Helper()
	p.set(`{"enabled": false}`)
	testkit.Eventually(p.t, func() bool {
		order := fmt.Sprint("probe-", len(orders))
		orders = append(orders, order)
		_, answer := p.publish(invoice(order, order))
		return answer["status"] == "pending"
	}, "the connector is not off")
	return orders
}

// written waits until a topic holds records.
func (p *product) written(topic string) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.cfg.KafkaBrokers...))
	require.NoError(p.t, err)
	defer client.Close()
	testkit.Eventually(p.t, func() bool {
		ends, err := kadm.NewClient(client).ListCommittedOffsets(p.t.Context(), p.cfg.TopicPrefix+topic)
		some := false
		ends.Each(func(o kadm.ListedOffset) { some = some || o.Offset > 0 })
		return err == nil && some
	}, "no record is in %s", topic)
}

// Off: invoices are held, and so is a retry that comes due. On: all of them go out, each once.
func TestConnectorOffAndOnAgain(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		cfg.Settings.BaseDelay = 3 * time.Second // the retry comes due after the connector is off
		p := start(t, cfg)
		p.fail(mockerp.Fault{Order: "parked", Status: http.StatusServiceUnavailable, Times: 1})
		p.publish(invoice("parked", "parked"))
		p.becomes("parked", func(s map[string]any) bool { return s["next_attempt_at"] != nil })
		orders := p.turnedOff()
		for i := range 150 { // more than one batch of the release
			order := fmt.Sprint(i)
			orders = append(orders, order)
			_, answer := p.publish(invoice("e"+order, order))
			require.Equal(t, "pending", answer["status"])
		}
		p.written(event.TopicDue)
		p.becomes("149", stands("pending"))
		require.InDelta(t, 1, p.becomes("parked", stands("queued"))["attempts"], 0)

		p.set(`{"enabled": true}`)
		for _, order := range orders {
			p.becomes(order, ended("success"))
		}
		require.InDelta(t, 2, p.becomes("parked", ended("success"))["attempts"], 0)
		require.InDelta(t, len(orders)+1, p.bookings(), 0)
	})
}

// The process that releases dies between its commit and all that follows: the orders go out once.
func TestCrashAfterARelease(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		c := newCrashCase(t, binary, brokers)
		batch, names := invoices(12)
		c.with = []string{"CONNECTOR_ENABLED=false"}
		off := c.run("")
		c.publish(batch)
		// It leaves its groups in good order. The embedded broker never forgets a member that is killed while it joins a group
		// that waits for another dead one; Apache Kafka does, after both sessions.
		require.NoError(t, off.cmd.Process.Signal(syscall.SIGTERM))
		<-off.done
		require.Zero(t, off.cmd.ProcessState.ExitCode())
		c.with = nil
		require.Equal(t, syscall.SIGKILL, c.run("scheduler.after_commit").ended(t))
		c.run("")
		c.listening()
		for _, order := range names {
			c.p.becomes(order, ended("success"))
		}
		c.requireNothingLostOrDoubled(t, len(names))
	})
}
