package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// command runs the program in this process against the product's servers.
func (p *product) command(args ...string) (out string, err error) {
	p.t.Helper()
	environment := map[string]string{
		"DATABASE_URL": p.cfg.DatabaseURL, "KAFKA_BROKERS": p.cfg.KafkaBrokers[0], "KAFKA_TOPIC_PREFIX": p.cfg.TopicPrefix,
	}
	maps.Copy(environment, p.env)
	var b bytes.Buffer
	cmd := cli.Root()
	cmd.SetArgs(args)
	cmd.SetOut(&b)
	cmd.SetErr(p.t.Output())
	err = cmd.ExecuteContext(withEnvironment(p.t.Context(), environment))
	return b.String(), err
}

func TestVerifyAfterARealRunAndWithPlantedDifferences(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		t.Helper()
		p := startWithOrders(t, brokers)
		out, err := p.command("verify")
		require.NoError(t, err, out)
		require.Regexp(t, `^6 rows compared at offset \d+ of the log in all: 0 differ, 0 only in the live table, 0 only in the log\n`+
			`24 lines of the timeline compared: 0 differ, 0 only on the timeline, 0 only in the log\n`+
			`0 dead letters compared: 0 differ, 0 only in the table, 0 only in the log\n$`, out)

		p.sql(`UPDATE vendor_erp_sync SET status = 'failed', attempts = 9 WHERE order_increment_id = '1'`)
		p.sql(`UPDATE vendor_erp_sync SET payload = payload || ' secret', erp_reference = NULL, version_at = version_at + interval '1 us' WHERE order_increment_id = '2'`)
		p.spoilRows()
		out, err = p.command("verify")
		require.ErrorContains(t, err, "the live table is not what the log says")
		require.Equal(t, 1, cli.ExitCode(err))
		require.NotContains(t, out, "secret")
		for _, line := range []string{
			`default 1 \(sync \d+\): status: live "failed", log "success"`,
			`default 1 \(sync \d+\): attempts: live 9, log 1`,
			`default 2 \(sync \d+\): payload: live (\d+) bytes, log (\d+) bytes`,
			`default 2 \(sync \d+\): erp_reference: live null, log ".+"`,
			`default 2 \(sync \d+\): version_at: live "\S+Z", log "\S+Z"`,
			`default 3 \(sync \d+\): only in the log`,
			`default none \(sync 0\): only in the live table`,
		} {
			require.Regexp(t, `(?m)^`+line+`$`, out)
		}
		require.Len(t, regexp.MustCompile(`(?m)^default `).FindAllString(out, -1), 7, out)
		require.Contains(t, out, "7 rows compared")
		require.Contains(t, out, "2 differ, 1 only in the live table, 1 only in the log\n")
	})
}

// The timeline is checked line by line, and rebuild mends what the log knows better.
func TestTheTimelineAgainstTheLog(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		t.Helper()
		p := startWithOrders(t, brokers)
		line := `FROM vendor_erp_sync v WHERE v.sync_id = e.sync_id AND v.order_increment_id = `
		p.sql(`UPDATE vendor_erp_sync_event e SET status = 'failed', error = 'secret' ` + line + `'1' AND topic = 'vendor_erp_sync_success'`)
		p.sql(`DELETE FROM vendor_erp_sync_event e USING vendor_erp_sync v WHERE v.sync_id = e.sync_id AND v.order_increment_id = '2'
			AND topic = 'vendor_erp_sync_requested'`)
		p.sql(`UPDATE vendor_erp_sync_event e SET occurred_at = occurred_at - interval '1 day' ` + line + `'3' AND topic = 'vendor_erp_sync_after_send'`)
		p.sql(`INSERT INTO vendor_erp_sync_event SELECT (json_populate_record(e, '{"offset": 1000000}')).* FROM vendor_erp_sync_event e
			JOIN vendor_erp_sync v USING (sync_id) WHERE v.order_increment_id = '4' AND topic = 'vendor_erp_sync_before_send'`)
		p.sql(`INSERT INTO vendor_erp_sync_event SELECT (json_populate_record(e, '{"topic": "elsewhere"}')).* FROM vendor_erp_sync_event e
			JOIN vendor_erp_sync v USING (sync_id) WHERE v.order_increment_id = '5' AND topic = 'vendor_erp_sync_before_send'`)

		named := func(out string, lines ...string) {
			t.Helper()
			for _, line := range lines {
				require.Regexp(t, `(?m)^timeline `+line+`$`, out)
			}
			require.Len(t, regexp.MustCompile(`(?m)^timeline `).FindAllString(out, -1), len(lines), out)
			require.NotContains(t, out, "secret")
		}
		different := []string{
			`vendor_erp_sync_success/\d@\d+ \(sync \d+\): status: live "failed", log "success"`,
			`vendor_erp_sync_success/\d@\d+ \(sync \d+\): error: live 6 bytes, log null`,
			`vendor_erp_sync_requested/\d@\d+ \(sync \d+\): only in the log`,
			`vendor_erp_sync_after_send/\d@\d+ \(sync \d+\): only in the log`,
		}
		unknown := []string{
			`vendor_erp_sync_after_send/\d@\d+ \(sync \d+\): only on the timeline`,
			`vendor_erp_sync_before_send/\d@1000000 \(sync \d+\): only on the timeline`,
			`elsewhere/\d@\d+ \(sync \d+\): only on the timeline`,
		}
		out, err := p.command("verify")
		require.Equal(t, 1, cli.ExitCode(err))
		require.Contains(t, out, "6 rows compared at offset ")
		require.Contains(t, out, "\n27 lines of the timeline compared: 1 differ, 3 only on the timeline, 2 only in the log\n")
		named(out, append(different, unknown...)...)

		out, err = p.command("rebuild")
		require.NoError(t, err)
		require.Contains(t, out, ": 1 lines were corrected, 2 added; 3 that the log does not hold stay\n")
		out, err = p.command("verify")
		require.Equal(t, 1, cli.ExitCode(err))
		require.Contains(t, out, "\n27 lines of the timeline compared: 0 differ, 3 only on the timeline, 0 only in the log\n")
		named(out, unknown...)
	})
}

// startWithOrders is a product whose ERP has the orders 0 to 5.
func startWithOrders(t *testing.T, brokers kafka.Config) *product {
	t.Helper()
	p := start(t, configured(t, brokers))
	for o := range 6 {
		p.publish(invoice(fmt.Sprint("e", o), fmt.Sprint(o)))
	}
	for o := range 6 {
		p.becomes(fmt.Sprint(o), ended("success"))
	}
	return p
}

// spoilRows takes a row out of the live table that the log has, and puts one in that it has not.
func (p *product) spoilRows() {
	p.t.Helper()
	p.sql(`DELETE FROM vendor_erp_sync WHERE order_increment_id = '3'`)
	p.sql(`INSERT INTO vendor_erp_sync SELECT (json_populate_record(v, '{"sync_id": 0, "order_increment_id": "none"}')).* FROM vendor_erp_sync v WHERE order_increment_id = '4'`)
}

func (p *product) sql(statement string) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.t.Context()) }()
	_, err = conn.Exec(p.t.Context(), statement)
	require.NoError(p.t, err)
}

// load publishes twenty orders a second until it is stopped; then it waits for the last. It returns once some are published.
func (p *product) load() (stop func() int) {
	p.t.Helper()
	last, stopped, underWay := make(chan int, 1), make(chan struct{}), make(chan struct{})
	go func() {
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for o := 0; ; o++ {
			select {
			case <-stopped:
				last <- o
				return
			case <-pace.C:
				p.publish(invoice(fmt.Sprint("load", o), fmt.Sprint("load", o)))
			}
			if o == 10 {
				close(underWay)
			}
		}
	}()
	testkit.Await(p.t, underWay)
	return sync.OnceValue(func() int {
		close(stopped)
		n := <-last
		for o := range n {
			p.becomes(fmt.Sprint("load", o), ended("success"))
		}
		return n
	})
}

func TestVerifyWhileLoadGoesOnRaisesNoFalseAlarm(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	stop := p.load()
	defer stop()
	for range 5 {
		out, err := p.command("verify")
		require.NoError(t, err, out)
	}
	require.Greater(t, stop(), 10)
	out, err := p.command("verify")
	require.NoError(t, err, out)
}

func TestVerifyThatCannotCompareExitsWithTwo(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	p.publish(invoice("e", "1"))
	p.becomes("1", ended("success"))
	for _, args := range [][]string{{"verify", "--bogus"}, {"verify", "bogus"}} {
		_, err := p.command(args...)
		require.Error(t, err)
		require.Equal(t, cli.CouldNotTell, cli.ExitCode(err))
	}
	elsewhere := product{t: t, cfg: config.Config{DatabaseURL: p.cfg.DatabaseURL, KafkaBrokers: p.cfg.KafkaBrokers, TopicPrefix: "elsewhere."}}
	_, err := elsewhere.command("verify")
	require.ErrorContains(t, err, "could not compare")
	require.Equal(t, cli.CouldNotTell, cli.ExitCode(err))
}
