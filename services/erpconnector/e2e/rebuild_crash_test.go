package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/projector"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestRebuildIsKilled kills the command in the middle of the filling, before the commit of the swap and after it, while
// orders come in, and calls it again: the table is the log's, the projector has gone on, and no table is left over.
func TestRebuildIsKilled(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		p := startWithOrders(t, brokers)
		const logged = 2000 // several batches
		fillLog(t, brokers, 0, logged)
		testkit.Eventually(t, func() bool {
			return p.count(fmt.Sprintf(`SELECT count(*) FROM vendor_erp_sync WHERE sync_id >= %d AND status = 'success'`, firstLogged)) == logged
		}, "the log is not in the table")
		shape := p.shape()
		stop := p.load()
		defer stop()
		for i, c := range []struct {
			point string
			kept  bool // what was folded until then
		}{
			{"projector.before_commit:3", true}, {"projector.after_commit:3", true}, {"rebuild.before_commit", true}, {"rebuild.after_commit", false},
		} {
			p.sql(`UPDATE vendor_erp_sync SET status = 'failed' WHERE order_increment_id = '1'`)
			require.Equal(t, syscall.SIGKILL, p.rebuilding(binary, c.point).ended(t), c.point)
			if c.kept {
				require.Positive(t, p.count(`SELECT sum(next_offset)::bigint FROM vendor_erp_sync_rebuild_position`), c.point)
			}
			p.publish(invoice(fmt.Sprint("killed", i), fmt.Sprint("killed", i)))
			p.becomes(fmt.Sprint("killed", i), ended("success"))

			again := p.rebuilding(binary, "")
			<-again.done
			require.True(t, again.cmd.ProcessState.Success(), c.point)
			require.Equal(t, shape, p.shape(), c.point)
			out, err := p.command("verify")
			require.NoError(t, err, "%s: %s", c.point, out)
		}
		stop()
		out, err := p.command("verify")
		require.NoError(t, err, out)
	})
}

// rebuilding is the command in a process of its own, which dies at the point.
func (p *product) rebuilding(binary, crashAt string) *process {
	p.t.Helper()
	cmd := p.program(binary, "rebuild")
	cmd.Env = append(cmd.Env, "ERPCONNECTOR_FAILPOINT="+crashAt)
	return launch(p.t, cmd)
}

func (p *product) count(query string) (n int64) {
	p.t.Helper()
	conn, err := pgx.Connect(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.t.Context()) }()
	require.NoError(p.t, conn.QueryRow(p.t.Context(), query).Scan(&n))
	return n
}

func (p *product) pool() *pgxpool.Pool {
	p.t.Helper()
	pool, err := pgxpool.New(p.t.Context(), p.cfg.DatabaseURL)
	require.NoError(p.t, err)
	p.t.Cleanup(pool.Close)
	return pool
}

func TestTwoRebuildsAtOnce(t *testing.T) {
	t.Parallel()
	brokers := testkit.EmbeddedBroker(t)
	p := startWithOrders(t, brokers)
	var tried atomic.Bool
	_, err := projector.Rebuild(t.Context(), brokers, p.pool(), slog.New(slog.DiscardHandler), projector.Rebuilding{
		OnProgress: func(projector.Progress) {
			if tried.Swap(true) {
				return
			}
			for _, args := range [][]string{{"rebuild"}, {"rebuild", "--anew"}} {
				_, err := p.command(args...)
				require.EqualError(t, err, "another rebuild is at work on this database: wait until it has ended")
			}
			out, err := p.command("verify")
			require.NoError(t, err, "verify has a table of its own: %s", out)
		},
		Found: func(d projector.Difference) { t.Error(d) },
	})
	require.NoError(t, err)
	require.True(t, tried.Load())
}

func TestRebuildAnewForgetsWhatAnInterruptedOneHasLeft(t *testing.T) {
	t.Parallel()
	brokers := testkit.EmbeddedBroker(t)
	p := startWithOrders(t, brokers)
	shape := p.shape()
	p.interruptedRebuild(brokers)
	p.sql(`UPDATE vendor_erp_sync_rebuild SET sync_id = -1, order_increment_id = 'mark' WHERE sync_id = (SELECT min(sync_id) FROM vendor_erp_sync_rebuild)`)
	out, err := p.command("rebuild", "--anew")
	require.NoError(t, err)
	require.Equal(t, "the live table is the one built from the log now: 0 rows differed, 0 were added, 0 dropped\n"+
		"the timeline, as far as this run has read the log: 0 lines were corrected, 0 added; 0 that the log does not hold stay\n"+
		"the table of dead letters, likewise: 0 were corrected, 0 added; 0 that the topic does not hold stay\n", out)
	require.Equal(t, shape, p.shape())
}

func TestRebuildRefusesWhatTheSwapWouldLose(t *testing.T) {
	t.Parallel()
	brokers := testkit.EmbeddedBroker(t)
	p := startWithOrders(t, brokers)
	for _, c := range []struct{ make, drop, named string }{
		{`CREATE VIEW open_syncs AS SELECT sync_id FROM vendor_erp_sync WHERE status <> 'success'`, `DROP VIEW open_syncs`, "view open_syncs"},
		{
			`CREATE TRIGGER noted BEFORE UPDATE ON vendor_erp_sync FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
			`DROP TRIGGER noted ON vendor_erp_sync`, "trigger noted",
		},
		{`CREATE TABLE note (sync_id bigint REFERENCES vendor_erp_sync)`, `DROP TABLE note`, "foreign key note_sync_id_fkey of note"},
		{`CREATE POLICY own ON vendor_erp_sync USING (true)`, `DROP POLICY own ON vendor_erp_sync`, "policy own"},
		{`CREATE PUBLICATION bi FOR TABLE vendor_erp_sync`, `DROP PUBLICATION bi`, "publication bi"},
	} {
		p.sql(c.make)
		_, err := p.command("rebuild")
		require.EqualError(t, err, "table vendor_erp_sync has what another table in its place would not have: "+c.named+
			"; drop it, and make it again afterwards")
		p.sql(c.drop)
	}
	out, err := p.command("rebuild")
	require.NoError(t, err, out)
}

// A reader that holds the live table for long made all who came later wait behind the swap, 2 s at a time.
func TestASwapThatDoesNotGetItsLockMakesNobodyWaitForLong(t *testing.T) {
	t.Parallel()
	brokers := testkit.EmbeddedBroker(t)
	p := startWithOrders(t, brokers)
	pool := p.pool()
	reader, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = reader.Rollback(context.Background()) }()
	_, err = reader.Exec(t.Context(), `SELECT FROM vendor_erp_sync`)
	require.NoError(t, err)

	refused := make(chan struct{}, 100)
	rebuilt := make(chan error, 1)
	go func() {
		_, err := projector.Rebuild(t.Context(), brokers, pool, slog.New(slog.NewTextHandler(refusals(refused), nil)), projector.Rebuilding{
			OnProgress: func(projector.Progress) {}, Found: func(projector.Difference) {},
		})
		rebuilt <- err
	}()
	// With the fault each try made a reader wait for 2 s. A busy machine may be slow at one try, hardly at each.
	least, slowest := time.Duration(math.MaxInt64), time.Duration(0)
	for tries := 0; tries < 3; {
		began := time.Now()
		_, err := pool.Exec(t.Context(), `SELECT count(*) FROM vendor_erp_sync`)
		require.NoError(t, err)
		slowest = max(slowest, time.Since(began))
		select {
		case <-refused:
			tries++
			least, slowest = min(least, slowest), 0
		case err := <-rebuilt:
			require.NoError(t, err)
			require.Fail(t, "it ended while a reader held the table")
		default:
		}
	}
	require.Less(t, least, 1500*time.Millisecond)
	p.publish(invoice("meanwhile", "meanwhile"))
	p.becomes("meanwhile", ended("success"))
	require.NoError(t, reader.Rollback(t.Context()))
	require.NoError(t, <-rebuilt)
	out, err := p.command("verify")
	require.NoError(t, err, out)
}

// refusals receives a value each time a rebuild logs that its swap did not get its lock.
type refusals chan<- struct{}

func (c refusals) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("not in the live one's place yet")) {
		c <- struct{}{}
	}
	return len(line), nil
}
