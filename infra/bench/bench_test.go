package bench

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestPageIsTheReport guards that the page in docs holds the figures of the report, and that both can be read.
func TestPageIsTheReport(t *testing.T) {
	encoded, err := os.ReadFile(reportFile)
	require.NoError(t, err)
	report, err := Decode(encoded)
	require.NoError(t, err)
	page, err := os.ReadFile(pageFile)
	require.NoError(t, err)
	require.Equal(t, string(page), report.Page(), "the page is written by `task bench`")
	again, err := report.Encode()
	require.NoError(t, err)
	require.Equal(t, string(encoded), string(again))
}

func TestMediansKeepWhatWasMeasuredTogether(t *testing.T) {
	rate := func(ours, base float64) Figure {
		return Figure{Case: "c", On: "b", What: "orders/s", Ours: ours, Base: base}
	}
	alone := func(ours float64) Figure { return Figure{Case: "c", On: "b", What: "ms", Lower: true, Ours: ours} }
	got := Medians([][]Figure{
		{rate(100, 100), alone(5)}, // 1.0
		{rate(400, 200), alone(9)}, // 2.0
		{rate(90, 60), alone(7)},   // 1.5
	})
	require.Equal(t, []Figure{rate(90, 60), alone(7)}, got)
	require.Equal(t, []Figure{alone(9)}, Medians([][]Figure{{alone(5)}, {alone(9)}}), "of two the worse")
	require.Empty(t, Medians(nil))
}

func TestCompare(t *testing.T) {
	figure := func(lower bool, ours, base float64) []Figure {
		return []Figure{{Case: "c", On: "b", What: "w", Beside: "COPY", Lower: lower, Ours: ours, Base: base}}
	}
	for name, c := range map[string]struct {
		before, now []Figure
		compared    int
		worse       bool
	}{
		"as before, on a slower machine": {before: figure(false, 100, 200), now: figure(false, 50, 100), compared: 1},
		"a little less":                  {before: figure(false, 100, 200), now: figure(false, 86, 200), compared: 1},
		"much less":                      {before: figure(false, 100, 200), now: figure(false, 84, 200), compared: 1, worse: true},
		"more":                           {before: figure(false, 100, 200), now: figure(false, 400, 200), compared: 1},
		"a little more CPU":              {before: figure(true, 100, 200), now: figure(true, 116, 200), compared: 1},
		"much more CPU":                  {before: figure(true, 100, 200), now: figure(true, 119, 200), compared: 1, worse: true},
		"less CPU":                       {before: figure(true, 100, 200), now: figure(true, 10, 200), compared: 1},
		"not measured before":            {now: figure(false, 1, 200)},
		"nothing beside it":              {before: figure(false, 100, 0), now: figure(false, 1, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			compared := Compare(c.before, c.now)
			require.Equal(t, c.worse, len(compared.Worse) == 1, "%+v", compared)
			require.Equal(t, c.compared, compared.Compared, "%+v", compared)
		})
	}
	require.Equal(t, []string{"c, b, w: 0.25 of COPY, and it was 0.50"}, Compare(figure(false, 100, 200), figure(false, 50, 200)).Worse)
}

// TestAPartSaysWhatIsLeft guards that a check of a part of the page does not look like one of the whole.
func TestAPartSaysWhatIsLeft(t *testing.T) {
	ratio := func(name string, ours float64) Figure {
		return Figure{Case: name, On: "b", What: "w", Beside: "COPY", Ours: ours, Base: 100}
	}
	page := []Figure{ratio("relay", 80), ratio("accept", 40), {Case: "accept", On: "b", What: "ms", Ours: 3}}
	compared := Compare(page, []Figure{ratio("relay", 60), ratio("larger", 70), {Case: "larger", On: "b", What: "ms", Ours: 3}})
	require.Equal(t, Comparison{
		Compared: 1, Worse: []string{"relay, b, w: 0.60 of COPY, and it was 0.80"}, Left: []string{"accept, b, w"}, New: []string{"larger, b, w"},
	}, compared)
	require.Equal(t, `1 of 2 ratios of the page compared, 1 of them more than 15 % worse
  worse: relay, b, w: 0.60 of COPY, and it was 0.80
  not measured: accept, b, w
  not on the page: larger, b, w
`, compared.Text())
}

// TestAPartIsWrittenOverThePage guards that cases which were not measured again stay, and say when they were measured.
func TestAPartIsWrittenOverThePage(t *testing.T) {
	figure := func(name string, ours float64) Figure { return Figure{Case: name, On: "b", What: "w", Ours: ours} }
	dated := func(f Figure, date string, runs int) Figure { f.Date, f.Runs = date, runs; return f }
	older := dated(figure("oldest", 4), "2026-11-01", 1)
	before := Report{Date: "2026-11-02", Machine: "m", Runs: 3, Figures: []Figure{figure("relay", 1), older, figure("accept", 2), figure("relay", 3)}}
	now := Report{Date: "2026-11-03", Machine: "m", Runs: 1, Figures: []Figure{figure("new", 7), figure("relay", 5), figure("new", 8), figure("relay", 6)}}
	over := now.Over(before)
	require.Equal(t, Report{Date: "2026-11-03", Machine: "m", Runs: 1, Figures: []Figure{
		figure("relay", 5), figure("relay", 6), older, dated(figure("accept", 2), "2026-11-02", 3), figure("new", 7), figure("new", 8),
	}}, over)
	require.Contains(t, over.Page(), "## Accept\n\nMeasured on 2026-11-02, the median of 3 runs.\n\n| on |")
	require.Contains(t, over.Page(), "## Relay\n\n| on |")
	before.Machine = "another"
	require.Equal(t, now, now.Over(before))
}

func TestText(t *testing.T) {
	for want, value := range map[string]float64{
		"0": 0, "0.0123": 0.012345, "1.23": 1.234, "12.3": 12.34, "123": 123.4, "1,230": 1234, "12,300": 12345, "1,230,000": 1234567, "1,000": 999.9, "-2.5": -2.5,
	} {
		require.Equal(t, want, text(value))
	}
}

// TestTheNaiveConnector guards the baseline: each order goes to the ERP, and the load sees when.
func TestTheNaiveConnector(t *testing.T) {
	t.Parallel()
	erp := NewERP()
	t.Cleanup(erp.Close)
	naive := &Naive{Pool: testkit.PoolOf(t, testkit.Postgres(t).URL), ERP: erp.URL(), Workers: 4}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- naive.Run(ctx, listener) }()
	testkit.Eventually(t, func() bool {
		var made bool
		err := naive.Pool.QueryRow(t.Context(), `SELECT to_regclass('naive_sync') IS NOT NULL`).Scan(&made)
		return err == nil && made
	}, "the naive connector has its table")

	const n = 40
	published, err := Load{URL: "http://" + listener.Addr().String(), Events: n, Clients: 3, Batch: 1, Rate: 400}.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, published.Accepted, n)
	require.Len(t, published.Calls, n)
	require.GreaterOrEqual(t, published.Took, 95*time.Millisecond, "40 events at 400 a second")
	testkit.Eventually(t, func() bool {
		var done int
		err := naive.Pool.QueryRow(t.Context(), `SELECT count(*) FROM naive_sync WHERE status = 'success' AND reference = 'ERP-1'`).Scan(&done)
		return err == nil && done == n
	}, "all orders are done")
	took, missing := erp.After(published.Accepted)
	require.Len(t, took, n)
	require.Zero(t, missing)
	cancel()
	require.NoError(t, <-ended)
}

func TestALoadTellsWhatWasRefused(t *testing.T) {
	t.Parallel()
	_, err := Load{URL: "http://127.0.0.1:1/events", Events: 1, Clients: 1, Batch: 1}.Run(t.Context())
	require.Error(t, err)
}

func TestABatchIsAnArray(t *testing.T) {
	orders, body := Load{First: 7, Batch: 2}.request(0, 2)
	require.Equal(t, []string{"900000007", "900000008"}, orders)
	require.JSONEq(t, "["+Invoice(orders[0])+","+Invoice(orders[1])+"]", string(body))
	_, body = Load{Batch: 1}.request(0, 1)
	require.JSONEq(t, Invoice("900000000"), string(body))
}

// TestUsageCountsChildren guards that work of a child is seen, where the system tells.
func TestUsageCountsChildren(t *testing.T) {
	if !HasUsage {
		testkit.NotRun(t, "the count of CPU time that docs/benchmarks.md tells", "this system is not Linux, and `task bench` leaves CPU and memory out on it")
	}
	pool := testkit.PoolOf(t, testkit.Postgres(t).URL)
	before, err := Usage()
	require.NoError(t, err)
	testkit.Eventually(t, func() bool {
		_, err := pool.Exec(t.Context(), `SELECT count(*) FROM generate_series(1, 100000)`)
		require.NoError(t, err)
		now, err := Usage()
		require.NoError(t, err)
		return now.Since(before).Postgres > 0.05
	}, "the database's work is seen")
}
