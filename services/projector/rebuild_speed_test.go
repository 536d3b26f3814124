//go:build speed && linux

package projector

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

var (
	rebuiltOrders  = flag.Int("rebuild.orders", 25_000, "orders in the log, of four facts each")
	rebuildProfile = flag.String("rebuild.profile", "", "file for a profile of the rebuild's CPU time")
)

// TestSpeedOfRebuild prints figures and claims none; it is built with the tag speed only: what a rebuild of a log takes whose rows and
// timeline are right, and how much CPU time of this process, in which the embedded broker runs too, and of Postgres. The log and the live
// tables are written before.
func TestSpeedOfRebuild(t *testing.T) {
	onEmbedded(t, func(b *bench) {
		b.ctx = b.Context() // as long as it takes
		b.fillLog(*rebuiltOrders)
		began := time.Now()
		require.NoError(b, CatchUp(b.ctx, b.cfg, b.pool, quiet))
		b.Logf("projected in %s", time.Since(began).Round(10*time.Millisecond))
		if *rebuildProfile != "" {
			file, err := os.Create(*rebuildProfile)
			require.NoError(b, err)
			defer func() { _ = file.Close() }()
			require.NoError(b, pprof.StartCPUProfile(file))
			defer pprof.StopCPUProfile()
		}
		began, used, postgresUsed := time.Now(), cpuTime(t), postgresTime(b)
		v, found, err := b.rebuild(Rebuilding{})
		took, facts := time.Since(began), float64(4**rebuiltOrders)
		require.NoError(b, err)
		require.Empty(b, found)
		require.EqualValues(b, *rebuiltOrders, v.Rows)
		b.Logf("%.0f facts rebuilt in %s: %.0f/s; of CPU a fact %.1f µs, and %.1f µs of Postgres", facts, took.Round(10*time.Millisecond),
			facts/took.Seconds(), 1e6*(cpuTime(t)-used).Seconds()/facts, 1e6*(postgresTime(b)-postgresUsed).Seconds()/facts)
	})
}

// fillLog writes the facts of orders that went through at once, as the services write them.
func (b *bench) fillLog(orders int) {
	b.Helper()
	snapshot, err := json.Marshal(map[string]string{"items": strings.Repeat("an item of an order, ", 20)})
	require.NoError(b, err)
	payload := string(snapshot)
	for order := range orders {
		for _, f := range success(order) {
			v := event.Sync{Sync: f.Sync, Order: snapshot}
			switch f.at.Topic {
			case event.TopicBeforeSend:
				v.Payload = &payload
			case event.TopicAfterSend:
				v.Response = &event.Response{Status: 200, Body: `{"erp_reference":"ERP"}`}
			}
			rec, err := event.NewSync(f.at.Topic, v, event.Context{At: f.Time})
			require.NoError(b, err)
			b.client.Produce(b.ctx, b.cfg.Record(rec), nil) // Flush waits for it; a fact that is missing is a row that differs
		}
	}
	require.NoError(b, b.client.Flush(b.ctx))
}

// postgresTime is what the processes of Postgres have used, also those that have ended.
func postgresTime(b *bench) (used time.Duration) {
	b.Helper()
	var backend int
	require.NoError(b, b.pool.QueryRow(b.ctx, `SELECT pg_backend_pid()`).Scan(&backend))
	postmaster := statOf(b, backend)[1]
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(b, err)
	for _, path := range stats {
		var pid int
		_, err := fmt.Sscanf(path, "/proc/%d/stat", &pid)
		require.NoError(b, err)
		fields := statOf(b, pid)
		if len(fields) == 0 || (fields[1] != postmaster && strconv.Itoa(pid) != postmaster) {
			continue
		}
		for i, ticks := range fields[11:15] { // of itself, and of its children that have ended
			n, err := strconv.Atoi(ticks)
			require.NoError(b, err)
			if i < 2 || strconv.Itoa(pid) == postmaster {
				used += time.Duration(n) * 10 * time.Millisecond
			}
		}
	}
	return used
}

// statOf are the fields of a process behind its name: the state, the parent, and so on; none when it has ended.
func statOf(b *bench, pid int) []string {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
}

// cpuTime is what this process has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
