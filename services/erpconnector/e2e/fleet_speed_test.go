//go:build speed

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// TestPromise12 requires the promise's own bounds, of three deaths of each service on each broker.
func TestPromise12(t *testing.T) {
	binary := build(t)
	strict := limits{stall: 2 * time.Second, takeOver: 10 * time.Second}
	var thrice []death
	for range 3 {
		thrice = append(thrice, deaths...)
	}
	testkit.OnBrokers(t, func(t *testing.T, brokers kafka.Config) { survivorsGoOn(t, binary, brokers, thrice, strict) })
}

// TestSizes prints what each process of docker-compose.yml's set takes: memory at rest and at its peak, and CPU time per
// thousand orders, at three rates of events over HTTP.
func TestSizes(t *testing.T) {
	img := buildImage(t)
	testkit.OnApache(t, func(t *testing.T, brokers kafka.Config) {
		f := newFleet(t, img, brokers, map[string]string{"ERP_TIMEOUT": "30s", "ERP_MAX_IN_FLIGHT": "64"})
		f.up()
		p := f.product()
		rest, total := f.usage(t), 0
		lines := []string{fmt.Sprintf("%-10s %12s", "process", "at rest")}
		for i, m := range f.members {
			lines = append(lines, fmt.Sprintf("%-10s %9d MB", m.service.Name, rest[i].memory))
		}
		for round, load := range []struct{ batch, perSecond int }{{1, 50}, {10, 50}, {100, 20}} {
			before, began, orders := f.usage(t), time.Now(), load.batch*load.perSecond*20
			p.pour(t, round, load.batch, load.perSecond, orders)
			posted := time.Since(began)
			total += orders
			p.booked(t, total)
			took := time.Since(began)
			lines[0] += fmt.Sprintf(" | %d/s for %s, done %s later", int(float64(orders)/posted.Seconds()), posted.Round(time.Second), (took - posted).Round(100*time.Millisecond))
			for i, now := range f.usage(t) {
				lines[i+1] += fmt.Sprintf(" | peak %4d MB, %5.1f %% of a core", now.peak, 100*(now.cpu-before[i].cpu).Seconds()/took.Seconds())
			}
		}
		t.Log("\n" + strings.Join(lines, "\n"))
		f.stop()
	})
}

// pour posts that many orders in batches at a steady rate.
func (p *product) pour(t *testing.T, round, batch, perSecond, orders int) {
	t.Helper()
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for n := 0; n < orders; n += batch {
		<-tick.C
		var events []any
		for i := range batch {
			order := fmt.Sprintf("%d-%d", round, n+i)
			events = append(events, invoice("e"+order, order))
		}
		status, _ := p.do(http.MethodPost, httpapi.BasePath+"/events", events)
		require.Equal(t, http.StatusOK, status)
	}
}

// booked waits until the ERP has that many orders.
func (p *product) booked(t *testing.T, orders int) {
	t.Helper()
	testkit.Eventually(t, func() bool {
		resp, err := http.Get(p.url("/mockerp/stats"))
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var stats mockerp.Stats
		return json.NewDecoder(resp.Body).Decode(&stats) == nil && stats.Bookings >= orders
	}, "not all orders are booked")
}

var (
	diskOrders = flag.Int("disk.orders", 50_000, "how many orders TestDisk publishes")
	diskBatch  = flag.Int("disk.batch", 100, "how many of them in one request")
)

// TestDisk prints what orders take on disk that succeed at once: each table with its indexes, and each topic, per million orders.
func TestDisk(t *testing.T) {
	img := buildImage(t)
	testkit.OnApache(t, func(t *testing.T, brokers kafka.Config) {
		f := newFleet(t, img, brokers, map[string]string{"ERP_TIMEOUT": "30s", "ERP_MAX_IN_FLIGHT": "64"})
		f.up()
		p, pool := f.product(), testkit.PoolOf(t, f.cfg.DatabaseURL)
		bytes := 0
		for n := 0; n < *diskOrders; n += *diskBatch {
			var events []any
			for i := range *diskBatch {
				events = append(events, largeInvoice(fmt.Sprintf("%09d", n+i)))
			}
			text, err := json.Marshal(events)
			require.NoError(t, err)
			bytes += len(text)
			status, _ := p.do(http.MethodPost, httpapi.BasePath+"/events", events)
			require.Equal(t, http.StatusOK, status)
		}
		testkit.Eventually(t, func() bool {
			var done int
			err := pool.QueryRow(t.Context(), `SELECT count(*) FROM vendor_erp_sync WHERE status = 'success'`).Scan(&done)
			return err == nil && done == *diskOrders
		}, "not all orders have succeeded")
		perMillion := 1e6 / float64(*diskOrders)
		lines := []string{fmt.Sprintf("%d orders, %d bytes each as published; per million:", *diskOrders, bytes / *diskOrders)}
		rows, err := pool.Query(t.Context(), `
			SELECT coalesce(i.inhparent::regclass::text, c.oid::regclass::text) AS name, sum(pg_table_size(c.oid))::bigint, sum(pg_indexes_size(c.oid))::bigint
			FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
			WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace GROUP BY name HAVING sum(pg_total_relation_size(c.oid)) > 1000000 ORDER BY 2 DESC`)
		require.NoError(t, err)
		var name string
		var table, indexes int64
		_, err = pgx.ForEachRow(rows, []any{&name, &table, &indexes}, func() error {
			lines = append(lines, fmt.Sprintf("%-34s table %6.0f MB, indexes %6.0f MB", name, float64(table)*perMillion/1e6, float64(indexes)*perMillion/1e6))
			return nil
		})
		require.NoError(t, err)
		client, err := kgo.NewClient(brokers.Options()...)
		require.NoError(t, err)
		defer client.Close()
		dirs, err := kadm.NewClient(client).DescribeAllLogDirs(t.Context(), nil)
		require.NoError(t, err)
		topics := map[string]int64{}
		dirs.Each(func(d kadm.DescribedLogDir) {
			d.Topics.Each(func(one kadm.DescribedLogDirPartition) {
				if name, ours := strings.CutPrefix(one.Topic, brokers.Prefix); ours {
					topics[name] += one.Size
				}
			})
		})
		for _, name := range slices.Sorted(maps.Keys(topics)) {
			lines = append(lines, fmt.Sprintf("%-34s topic %6.0f MB", name, float64(topics[name])*perMillion/1e6))
		}
		t.Log("\n" + strings.Join(lines, "\n"))
		f.stop()
	})
}

// largeInvoice is the event of an order of three items, with addresses.
func largeInvoice(order string) map[string]any {
	event := invoice("e"+order, order)
	address := map[string]any{
		"firstname": "Jane", "lastname": "Doe " + order, "company": "Doe & Daughters Ltd.", "street": []string{"High Street " + order[6:], "2nd floor"},
		"city": "Berlin", "postcode": "10115", "country_id": "DE", "telephone": "+49 30 " + order,
	}
	var items []any
	for i := range 3 {
		items = append(items, map[string]any{
			"item_id": i + 1, "sku": fmt.Sprintf("SCOOT-%s-%d", order[5:], i), "name": "City scooter, foldable, 120 kg", "qty": "2", "price": "99.99",
			"row_total": "199.98", "tax_amount": "38.00", "discount_amount": "0.00",
		})
	}
	o := event["order"].(map[string]any)
	o["items"], o["billing_address"], o["shipping_address"] = items, address, address
	o["customer_email"], o["customer_firstname"], o["customer_lastname"] = "jane."+order+"@example.com", "Jane", "Doe "+order
	o["created_at"], o["updated_at"] = "2024-01-15 10:00:00", "2024-01-15 10:00:00"
	return event
}

// usage is what a process takes, read from /proc.
type usage struct {
	memory, peak int // MB
	cpu          time.Duration
}

func (f *fleet) usage(t *testing.T) (out []usage) {
	t.Helper()
	for _, m := range f.members {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
		require.NoError(t, err)
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
		require.NoError(t, err)
		fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")")+2:]))
		user, err := strconv.Atoi(fields[11])
		require.NoError(t, err)
		system, err := strconv.Atoi(fields[12])
		require.NoError(t, err)
		out = append(out, usage{
			memory: megabytes(string(status), "VmRSS:"), peak: megabytes(string(status), "VmHWM:"),
			cpu: time.Duration(user+system) * time.Second / 100, // in hundredths, on every Linux that Go runs on
		})
	}
	return out
}

func megabytes(status, name string) int {
	_, after, _ := strings.Cut(status, name)
	kilobytes, _ := strconv.Atoi(strings.Fields(after)[0])
	return kilobytes / 1024
}
