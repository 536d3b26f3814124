//go:build speed

package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

var (
	factsOfALog = flag.String("facts", "100000", "sizes of the log, growing: 100000,300000,1000000")
	beside      = flag.String("beside", "", "another erpconnector, whose commands are measured in turn with ours")
)

// TestSpeedOfALongLog prints figures and claims none; it is built with the tag speed only: how long the projector takes for
// a whole log, and verify, rebuild and replay, each as a process of its own, and how much memory at most.
func TestSpeedOfALongLog(t *testing.T) {
	binary := build(t)
	testkit.OnBrokers(t, func(t *testing.T, brokers kafka.Config) {
		m := &longLog{product: &product{t: t, cfg: configured(t, brokers)}, brokers: brokers, binaries: []string{binary}}
		if *beside != "" {
			m.binaries = []string{*beside, binary, *beside, binary}
		}
		for size := range strings.SplitSeq(*factsOfALog, ",") {
			facts, err := strconv.Atoi(size)
			require.NoError(t, err)
			m.fill(facts)
			for _, binary := range m.binaries {
				m.project(binary)
			}
			for _, command := range [][]string{{"verify"}, {"rebuild"}, {"replay", "--from", "2020-01-01"}} {
				for _, binary := range m.binaries {
					m.measure(binary, command, func(p *process) { <-p.done })
				}
			}
		}
	})
}

// longLog is a product whose log was written by the test.
type longLog struct {
	*product

	brokers  kafka.Config
	binaries []string
	facts    int
}

// fill writes to the log until it has that many facts.
func (m *longLog) fill(facts int) {
	m.t.Helper()
	fillLog(m.t, m.brokers, m.facts/factsOfAnOrder, (facts-m.facts)/factsOfAnOrder)
	m.facts = facts
}

// project measures the live projector, from the log's start to its end.
func (m *longLog) project(binary string) {
	m.t.Helper()
	m.sql(`TRUNCATE vendor_erp_sync, vendor_erp_sync_event, projector_position`)
	m.sql(`CHECKPOINT`)
	conn, err := pgx.Connect(m.t.Context(), m.cfg.DatabaseURL)
	require.NoError(m.t, err)
	defer func() { _ = conn.Close(m.t.Context()) }()
	m.measure(binary, []string{"run", "projector"}, func(p *process) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for read := 0; read < m.facts && !p.gone(); <-tick.C {
			require.NoError(m.t, conn.QueryRow(m.t.Context(), `SELECT coalesce(sum(next_offset), 0) FROM projector_position`).Scan(&read))
		}
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.done
	})
}

// measure runs a command until done returns, and prints what it took.
func (m *longLog) measure(binary string, args []string, done func(p *process)) {
	m.t.Helper()
	cmd := m.program(binary, args...)
	cmd.Env = append(cmd.Env, "HTTP_ADDR="+testkit.FreeAddr(m.t), "API_TOKEN=t", "ERP_API_KEY=k", "ERP_HMAC_SECRET=s", "LOG_LEVEL=warn", "GODEBUG=gctrace=1")
	var out volume
	var told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	conn, err := pgx.Connect(m.t.Context(), m.cfg.DatabaseURL)
	require.NoError(m.t, err)
	defer func() { _ = conn.Close(m.t.Context()) }()
	began := time.Now()
	p := launch(m.t, cmd)
	peak, database := make(chan int), make(chan time.Duration)
	go func() { peak <- p.residentAtMost() }()
	go func() { database <- m.databaseCPU(conn, p) }()
	done(p)
	took, resident, inDatabase := time.Since(began), <-peak, <-database
	require.True(m.t, p.cmd.ProcessState.Success(), "%s", told.String())
	heap := 0
	for _, collected := range regexp.MustCompile(`(?m)^gc \d+ .* (\d+)->\d+->\d+ MB`).FindAllStringSubmatch(told.String(), -1) {
		atStart, _ := strconv.Atoi(collected[1])
		heap = max(heap, atStart)
	}
	name := "ours"
	if binary == *beside {
		name = "beside"
	}
	used := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	m.t.Logf("%s %s, %d facts: %s, %.0f facts/s, heap at most %d MiB, resident at most %d MiB, CPU %s and %s of Postgres, %d MB and %d lines printed", name,
		strings.Join(args, " "), m.facts, took.Round(10*time.Millisecond), float64(m.facts)/took.Seconds(), heap, resident,
		used.Round(10*time.Millisecond), inDatabase.Round(10*time.Millisecond), out.bytes>>20, out.lines)
}

// databaseCPU is what the sessions of the process took in Postgres: it says what a command costs also on a busy machine.
func (m *longLog) databaseCPU(conn *pgx.Conn, p *process) (total time.Duration) {
	took := map[int]time.Duration{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !p.gone() {
		rows, err := conn.Query(m.t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'erpconnector'`)
		require.NoError(m.t, err)
		sessions, err := pgx.CollectRows(rows, pgx.RowTo[int])
		require.NoError(m.t, err)
		for _, pid := range sessions {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				continue // it has ended
			}
			fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+2:]))
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			took[pid] = time.Duration(user+system) * time.Second / 100 // in hundredths, on every Linux that Go runs on
		}
		<-tick.C
	}
	for _, d := range took {
		total += d
	}
	return total
}

// residentAtMost is the most memory that the process has held, in MiB; getrusage would count what the test held when it forked.
func (p *process) residentAtMost() (most int) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err == nil && strings.Contains(string(status), "VmHWM:") {
			most = max(most, megabytes(string(status), "VmHWM:"))
		}
		select {
		case <-p.done:
			return most
		case <-tick.C:
		}
	}
}

// volume counts what is written to it.
type volume struct{ bytes, lines int }

func (v *volume) Write(p []byte) (int, error) {
	v.bytes += len(p)
	v.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}
