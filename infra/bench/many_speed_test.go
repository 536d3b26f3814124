//go:build speed

package bench

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/devpg"
	"github.com/erpconnector/erpconnector/shared/testkit"
	"github.com/erpconnector/erpconnector/shared/testkit/manyorders"
)

var (
	manyFlag    = flag.Int("many.orders", 1_000_000, "orders in the tables")
	analyseFlag = flag.Bool("many.analyse", false, "VACUUM ANALYZE them first, as autovacuum will have done: plans must not depend on it")
	slackFlag   = flag.Float64("many.slack", 10, "a page of the console may take so many times as long as it should; 1 on a machine that does nothing else")
	rateFlag    = flag.Int("many.rate", 5_000, "requests a second for the status of an order, at most")
)

// TestManyOrders prints how long each question about orders takes over HTTP, and each page of the console in a browser, among very many
// orders. It fails when a page has an error, or takes longer than a page may.
//
//	go test -tags speed -count=1 -v -timeout 2h -run TestManyOrders ./infra/bench -many.orders 10000000 -many.slack 1
//
// Beside the times, which other work on the machine makes longer, stand the statements of a question and the pages of 8 KiB that they
// read, as pg_stat_statements counts them. These do not depend on the machine.
func TestManyOrders(t *testing.T) {
	m := startMany(t)
	t.Run("questions", func(t *testing.T) {
		for _, q := range questions(*manyFlag) {
			m.ask(t, q)
		}
	})
	t.Run("console", m.consolePages)
	t.Run("status", m.statusLoad)
}

// many is what serves the API and the console, over a database with very many orders.
type many struct {
	site   string // URL
	base   string // of the API
	pool   *pgxpool.Pool
	client *http.Client
}

func startMany(t *testing.T) *many {
	t.Helper()
	r := &rig{binary: testkit.Program(t, "github.com/erpconnector/erpconnector/services/erpconnector")}
	database, pool := r.manyDatabase(t)
	addr := testkit.FreeAddr(t)
	env := append(product(database, testkit.EmbeddedBroker(t)), "HTTP_ADDR="+addr)
	r.prepare(t, env, "topics", "ensure")
	start(t, env, r.binary, "run", "api", "ingest")
	answers(t, "http://"+addr+"/readyz")
	site := "http://" + addr
	return &many{site: site, base: site + "/rest/V1/erpconnector", pool: pool, client: &http.Client{Timeout: time.Minute}}
}

// manyDatabase fills a server, and starts it again as one that lasts, with an eighth of a large machine's memory, and counted statements.
func (r *rig) manyDatabase(t *testing.T) (database string, pool *pgxpool.Pool) {
	t.Helper()
	dir, err := os.MkdirTemp(*dirFlag, "erpconnector-many-") //nolint:usetesting // it is too large for memory
	require.NoError(t, err)
	testkit.SweepIfStopped(dir)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711)) //nolint:gosec // the database's user walks through
	begin := func(durable bool) (*devpg.Server, *pgxpool.Pool) {
		server, err := devpg.Start(t.Context(), devpg.Config{Dir: filepath.Join(dir, "postgres"), Durable: durable})
		require.NoError(t, err)
		t.Cleanup(server.Stop)
		pool, err := pgxpool.New(t.Context(), server.URL())
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return server, pool
	}
	server, pool := begin(false)
	for name, value := range map[string]string{"shared_preload_libraries": "pg_stat_statements", "shared_buffers": "2GB", "max_wal_size": "4GB"} {
		_, err := pool.Exec(t.Context(), fmt.Sprintf(`ALTER SYSTEM SET %s = '%s'`, name, value))
		require.NoError(t, err)
	}
	pool.Close()
	server.Stop()
	server, pool = begin(false)
	r.prepare(t, []string{"DATABASE_URL=" + server.URL()}, "migrate")
	manyorders.Fill(t, pool, *manyFlag)
	pool.Close()
	server.Stop()
	server, pool = begin(true)
	_, err = pool.Exec(t.Context(), `CREATE EXTENSION pg_stat_statements`)
	require.NoError(t, err)
	if *analyseFlag {
		_, err := pool.Exec(t.Context(), `VACUUM ANALYZE`)
		require.NoError(t, err)
	}
	return server.URL(), pool
}

// question is what somebody asks.
type question struct {
	name string
	ask  func(try int) (method, path, body string)
	want int // the status of its answers
}

// get asks the same again and again.
func get(name, path string) question {
	return question{name, func(int) (string, string, string) { return http.MethodGet, path, "" }, http.StatusOK}
}

// each asks about another order each time.
func each(name, path string, orders int) question {
	return question{name, func(try int) (string, string, string) {
		n := orders / 20 * (try % 20)
		n -= n % 10 // with a timeline, and of the shop default
		return http.MethodGet, strings.NewReplacer("{i}", fmt.Sprint(n+10), "{n}", fmt.Sprint(1_000_000_010+n)).Replace(path), ""
	}, http.StatusOK}
}

func preview(name, filter string) question {
	return question{"preview: " + name, func(int) (string, string, string) {
		return http.MethodPost, "/bulk/resync", `{"filter": ` + filter + `, "reason": "measured"}`
	}, http.StatusOK}
}

// questions are all, among so many orders.
func questions(orders int) []question {
	middle := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(3 * time.Second * time.Duration(orders/2))
	day := func(days int) string { return middle.AddDate(0, 0, days).Format(time.DateOnly) }
	absent := each("sync-status of an unknown order", "/sync-status/9{n}", orders)
	absent.want = http.StatusNotFound
	questions := []question{
		each("sync-status", "/sync-status/{n}", orders), absent,
		each("sync", "/syncs/{i}", orders), each("sync as_of", "/syncs/{i}?as_of=2030-01-01", orders), each("timeline of a sync", "/syncs/{i}/events", orders),
		get("counts", "/syncs/counts"), get("counts of a shop's failures", "/syncs/counts?source=outlet&status=failed"),
	}
	for _, list := range []string{
		"", "limit=500", "source=b2b", "status=failed", "status=failed&source=outlet", "status=in_progress", "status=success", "order=1000000007", "order_id=7",
		"email=C7@example.test", "erp_reference=ERP-7", "idempotency_key=ERP_7", "error_group=1", "error=sku", "error_code=erp_rejected", "http_status=503",
		"attempts_from=2", "attempts_from=7", "created_since=" + day(0), "updated_since=" + day(-1) + "&updated_until=" + day(1),
		"sort=created_at&created_since=" + day(0), "sort=-created_at&status=failed", "sort=-created_at&error=sku",
		"status=success&attempts_from=2&created_until=" + day(0),
		"source=outlet&status=failed&error=sku&http_status=422&attempts_from=5&updated_since=" + day(-5), "status=success&error=sku",
		"email=c7@example.test&status=failed",
		"searchCriteria[filter_groups][0][filters][0][field]=status&searchCriteria[filter_groups][0][filters][0][value]=success" +
			"&searchCriteria[currentPage]=50", "searchCriteria[filter_groups][0][filters][0][field]=attempts&searchCriteria[filter_groups][0][filters][0][value]=1",
	} {
		values, _ := url.ParseQuery(list) // read and written again, so that it is escaped
		questions = append(questions, get("list "+list, "/syncs?"+values.Encode()))
	}
	return append(questions,
		get("errors", "/syncs/errors"), get("errors by hours", "/syncs/errors?trend=hours"), get("errors by days", "/syncs/errors?trend=days"),
		get("errors of a shop by days", "/syncs/errors?trend=days&source=outlet&status=failed"), get("one kind by days", "/syncs/errors?error_group=1&trend=days"),
		preview("failed", `{"status": "failed"}`), preview("one kind", `{"error_group": 1}`), preview("success", `{"status": "success"}`),
		preview("five attempts of a shop", `{"source": "outlet", "attempts_from": 5}`), preview("what nothing matches", `{"attempts_from": 7}`),
	)
}

const tries = 11

// ask asks some times and prints what it took.
func (m *many) ask(t *testing.T, q question) {
	t.Helper()
	m.once(t, q, 0)
	before := m.work(t)
	var took []time.Duration
	for try := range tries {
		at := time.Now()
		m.once(t, q, try)
		took = append(took, time.Since(at))
	}
	work := m.work(t)
	slices.Sort(took)
	t.Logf("%-60.60s shortest %7.1f ms, median %7.1f ms, longest %7.1f ms; %5.1f statements, %7.1f ms of Postgres, %6.0f pages", q.name,
		milliseconds(took[0]), milliseconds(took[tries/2]), milliseconds(took[tries-1]),
		(work[0]-before[0])/tries, (work[1]-before[1])/tries, (work[2]-before[2])/tries)
}

func (m *many) once(t *testing.T, q question, try int) {
	t.Helper()
	method, path, body := q.ask(try)
	status, said := m.request(t.Context(), method, path, body)
	require.Equal(t, q.want, status, "%s: %.300s", path, said)
}

func (m *many) request(ctx context.Context, method, path, body string) (status int, said []byte) {
	request, err := http.NewRequestWithContext(ctx, method, m.base+path, strings.NewReader(body))
	if err != nil {
		return 0, []byte(err.Error())
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := m.client.Do(request)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer func() { _ = answer.Body.Close() }()
	said, _ = io.ReadAll(answer.Body)
	return answer.StatusCode, said
}

// work is what Postgres has done for the product so far: statements, milliseconds, pages.
func (m *many) work(t *testing.T) (w [3]float64) {
	t.Helper()
	err := m.pool.QueryRow(t.Context(), `SELECT sum(calls)::float8, sum(total_exec_time), sum(shared_blks_hit + shared_blks_read)::float8
		FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'`).Scan(&w[0], &w[1], &w[2])
	require.NoError(t, err)
	return w
}
