//go:build speed

package bench

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/run"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// connector takes events over HTTP and brings them into an ERP.
type connector struct {
	events    string // URL
	pool      *pgxpool.Pool
	succeeded string // query: how many orders are done
	erp       *ERP
	orders    int // so far
}

const (
	burst    = 5_000 // single events
	batched  = 10_000
	calm     = 50 // events a second
	calmTime = 30 * time.Second
	rest     = 20 * time.Second // from the start on: a burst leaves the database work for a while
)

// orders measures events from POST to the ERP's answer written down.
func orders(t *testing.T, r *rig) []Figure {
	t.Helper()
	var naive connectorFigures
	t.Run("naive connector", func(t *testing.T) { naive = startNaive(t, r).measure(t, false) })
	return r.onEach(t, func(t *testing.T, on string) []Figure {
		return startProduct(t, r, on).measure(t, true).beside(naive, on)
	})
}

func startNaive(t *testing.T, r *rig) *connector {
	t.Helper()
	url, pool := r.database(t)
	erp := newERP(t)
	addr := testkit.FreeAddr(t)
	self, err := os.Executable()
	require.NoError(t, err)
	start(t, []string{"DATABASE_URL=" + url, naiveAddr + "=" + addr, naiveERP + "=" + erp.URL()}, self)
	c := &connector{events: "http://" + addr + "/", pool: pool, erp: erp, succeeded: `SELECT count(*) FROM naive_sync WHERE status = 'success'`}
	answers(t, c.events)
	return c
}

func startProduct(t *testing.T, r *rig, on string) *connector {
	t.Helper()
	url, pool := r.database(t)
	erp := newERP(t)
	addr := testkit.FreeAddr(t)
	args, brokers := []string{"up", "--ephemeral", "--kafka-port", "0"}, kafka.Config{} // its own broker, so that its CPU counts
	if on == apache {
		args, brokers = []string{"up", "--ephemeral"}, broker(t, on)
	}
	start(t, append(product(url, brokers), "HTTP_ADDR="+addr, "ERP_BASE_URL="+erp.URL()), r.binary, args...)
	answers(t, "http://"+addr+"/readyz")
	return &connector{
		events: "http://" + addr + "/rest/V1/erpconnector/events", pool: pool, erp: erp,
		succeeded: `SELECT count(*) FROM vendor_erp_sync WHERE status = 'success'`,
	}
}

func newERP(t *testing.T) *ERP {
	t.Helper()
	erp := NewERP()
	t.Cleanup(erp.Close)
	return erp
}

// answers waits until a server does.
func answers(t *testing.T, url string) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		answer, err := http.Get(url) //nolint:gosec // our own
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode < 500
	}, "%s answers", url)
}

// connectorFigures are the figures of one connector.
type connectorFigures struct{ single, batches, calm, rest []Figure }

func (c *connector) measure(t *testing.T, batches bool) (f connectorFigures) {
	t.Helper()
	before, began := used(t), time.Now()
	run.Sleep(t.Context(), rest)
	f.rest = ofUse(Figure{What: "share of a core, %", Lower: true, Ours: 100 * used(t).Since(before).All() / time.Since(began).Seconds()})
	c.publish(t, Load{Events: 500, Clients: 16, Batch: 1}) // the first events make tables, connections and plans warm
	single := c.publish(t, Load{Events: burst, Clients: 64, Batch: 1})
	f.single = []Figure{
		{What: "orders/s", Ours: single.rate},
		{What: "POST p50, ms", Lower: true, Ours: milliseconds(quantile(single.Calls, 0.5))},
		{What: "POST p99, ms", Lower: true, Ours: milliseconds(quantile(single.Calls, 0.99))},
	}
	f.single = append(f.single, cpuOf(single)...)
	if batches {
		many := c.publish(t, Load{Events: batched, Clients: 8, Batch: 100})
		f.batches = append([]Figure{{What: "orders/s", Ours: many.rate}}, cpuOf(many)...)
	}
	slow := c.publish(t, Load{Events: int(calm * calmTime.Seconds()), Clients: 8, Batch: 1, Rate: calm})
	f.calm = []Figure{
		{What: "accepted to the ERP, p50, ms", Lower: true, Ours: milliseconds(quantile(slow.toERP, 0.5))},
		{What: "accepted to the ERP, p99, ms", Lower: true, Ours: milliseconds(quantile(slow.toERP, 0.99))},
	}
	f.calm = append(f.calm, cpuOf(slow)...)
	return f
}

// beside puts the product's figures beside those of the naive connector.
func (f connectorFigures) beside(naive connectorFigures, on string) (figures []Figure) {
	for _, part := range []struct {
		what        string
		ours, naive []Figure
	}{
		{"single events, 64 connections", f.single, naive.single},
		{"batches of 100, 8 connections", f.batches, naive.batches},
		{"50 events a second", f.calm, naive.calm},
		{"at rest, in the first 20 s after the start", f.rest, naive.rest},
	} {
		for i, figure := range part.ours {
			figure.Case, figure.On = part.what, on
			if len(part.naive) > 0 && !strings.HasSuffix(figure.What, "ms") { // of a millisecond, a ratio says nothing
				figure.Base, figure.Beside = part.naive[i].Ours, "naive connector"
			}
			figures = append(figures, figure)
		}
	}
	return figures
}

// seen is what a load found.
type seen struct {
	Published
	rate  float64         // orders a second, until the last is done
	cpu   float64         // seconds per 1,000 orders
	toERP []time.Duration // from the answer to POST to the ERP's request
}

func cpuOf(s seen) []Figure {
	return ofUse(Figure{What: "CPU seconds per 1,000", Lower: true, Ours: s.cpu})
}

// publish publishes a load and waits until all of it is done.
func (c *connector) publish(t *testing.T, load Load) seen {
	t.Helper()
	load.URL, load.Token, load.First = c.events, token, c.orders
	c.orders += load.Events
	before, began := used(t), time.Now()
	published, err := load.Run(t.Context())
	require.NoError(t, err)
	testkit.Eventually(t, func() bool {
		run.Sleep(t.Context(), 20*time.Millisecond) // a look takes the database's time
		var done int
		require.NoError(t, c.pool.QueryRow(t.Context(), c.succeeded).Scan(&done))
		return done == c.orders
	}, "all orders are done")
	took := time.Since(began)
	s := seen{Published: published, rate: float64(load.Events) / took.Seconds(), cpu: used(t).Since(before).All() * 1000 / float64(load.Events)}
	var missing int
	s.toERP, missing = c.erp.After(published.Accepted)
	require.Zero(t, missing)
	slices.Sort(s.toERP)
	return s
}

func used(t *testing.T) CPU {
	t.Helper()
	used, err := Usage()
	require.NoError(t, err)
	return used
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
