package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// death is where one of a service's two processes is killed; services that write Kafka transactions die in an open one.
type death struct{ service, point string }

var deaths = []death{
	{"ingest", "accept.before_commit"},
	{"relay", "erpconnector-relay.produced"},
	{"syncer", "syncer-*.produced"},
	{"delayer", "delayer-*.produced"},
	{"projector", "projector.before_commit"},
	{"api", ""}, // it has no point: it only reads
}

// limits are what a death may cost.
type limits struct{ stall, takeOver time.Duration }

// generous lets a busy machine take its time and still shows the difference between a survivor that acts and a transaction that times out
// after 10 s and more.
var generous = limits{stall: 6 * time.Second, takeOver: 20 * time.Second}

// TestASurvivorGoesOn is promise 12: two processes of every service under load, one of each killed in turn; readers of
// every topic go on within 2 s, its work is done within 10 s, and nothing is lost or doubled. The bounds here are wider;
// the figures are printed, and with the build tag speed the promise's own are required.
func TestASurvivorGoesOn(t *testing.T) {
	t.Parallel()
	binary := build(t)
	testkit.OnApacheFirst(t, func(t *testing.T, brokers kafka.Config) { survivorsGoOn(t, binary, brokers, deaths, generous) })
}

// pairs is two processes of every service, a shop and an ERP, and who watches.
type pairs struct {
	*fleet
	erp   *mockerp.ERP
	shop  *shop
	watch *watch
	pool  *pgxpool.Pool
	arm   string // folder of the files that arm crash points, one per service
}

func survivorsGoOn(t *testing.T, binary string, brokers kafka.Config, deaths []death, l limits) {
	t.Helper()
	p := startPairs(t, binary, brokers)
	t.Logf("25 orders a second; the longest request with its repetitions stands under POST and GET\n"+
		"%-10s %14s %12s %15s %10s %10s", "killed", "longest stall", "hidden", "work done after", "POST", "GET")
	for _, d := range deaths {
		p.kill(t, d, l)
	}
	p.shop.close()
	orders := p.shop.sold()
	testkit.Eventually(t, func() bool { return p.succeeded(t, orders) == len(orders) }, "not all orders are in the ERP")
	c := &crashCase{p: p.product(), erp: p.erp}
	c.requireNothingLostOrDoubled(t, len(orders))
	p.stop()
}

func startPairs(t *testing.T, binary string, brokers kafka.Config) *pairs {
	t.Helper()
	erp := mockerp.New(mockerp.Options{APIKey: "key", Secret: "secret"})
	erp.Fail(mockerp.Fault{Status: http.StatusInternalServerError, Rate: 0.25}, mockerp.Fault{Delay: mockerp.Delay(50 * time.Millisecond)})
	server := httptest.NewServer(erp)
	t.Cleanup(server.Close)
	p := &pairs{erp: erp, arm: t.TempDir()}
	p.fleet, p.pool = fleetWithERP(t, binary, brokers,
		map[string]string{"ERP_BASE_URL": server.URL, "ERP_BREAKER": "false", "RETRY_MAX_ATTEMPTS": "20", "RETRY_MAX_DELAY": "400ms"})
	p.more = func(service string) []string {
		return []string{"ERPCONNECTOR_FAILPOINT_FILE=" + filepath.Join(p.arm, service)}
	}
	for name, s := range p.project.Services {
		if ours(s) && !oneShot(s) {
			s.SetScale(2)
			p.project.Services[name] = s
		}
	}
	p.up()
	p.paired()
	p.watch = startWatch(t, brokers)
	p.shop = openShop(t, p.fleet, 40*time.Millisecond)
	return p
}

// paired waits until the two of each group share its work.
func (p *pairs) paired() {
	p.t.Helper()
	p.product().joined(event.GroupSyncer, 2)
	p.product().joined(event.GroupDelayer, 2)
}

// settled waits until every service has had work since the last death.
func (p *pairs) settled(t *testing.T) []string {
	t.Helper()
	p.paired()
	var busy []string
	began := time.Now()
	testkit.Eventually(t, func() bool {
		busy = p.watch.busy(time.Since(began))
		return len(busy) >= 8 && time.Since(began) > time.Second
	}, "records came on %v only", &busy)
	p.watch.longestHidden()
	p.shop.slow(http.MethodPost)
	p.shop.slow(http.MethodGet)
	return busy
}

// kill lets one of a service's two processes die, waits until the other has done its work, and starts it again.
func (p *pairs) kill(t *testing.T, d death, l limits) {
	t.Helper()
	busy := p.settled(t)
	dead := p.die(t, d)
	died := time.Now()
	open := p.shop.sold()
	var done time.Duration
	testkit.Eventually(t, func() bool {
		if done == 0 && p.succeeded(t, open) == len(open) {
			done = time.Since(died)
		}
		return done > 0 && p.watch.cameSince(busy, died.Add(time.Second))
	}, "%s: of %d orders accepted before the death %s are done", d.service, len(open), p.left(t, open))
	stall, topic := p.watch.longestStall(busy, died)
	hidden := p.watch.longestHidden()
	p.awaitHealth(p.start(dead.service, dead.addr))
	ms := func(d time.Duration) string { return d.Round(time.Millisecond).String() }
	t.Logf("%-10s %14s %12s %15s %10s %10s  %s", d.service, ms(stall), ms(hidden), ms(done),
		ms(p.shop.slow(http.MethodPost)), ms(p.shop.slow(http.MethodGet)), topic)
	for what, excess := range map[string]time.Duration{
		"no record came to readers of " + topic: stall - l.stall,
		"an open transaction hid records":       hidden - l.stall,
		"its work was not taken over":           done - l.takeOver,
	} {
		if excess > 0 {
			t.Errorf("%s killed: %s for %s longer than may be", d.service, what, excess)
		}
	}
}

// die kills one process of the service, at its point, and takes it out of the fleet.
func (p *pairs) die(t *testing.T, d death) *member {
	t.Helper()
	if d.point == "" {
		require.NoError(t, p.first(d.service).cmd.Process.Kill())
	} else {
		require.NoError(t, os.WriteFile(filepath.Join(p.arm, d.service), []byte(d.point), 0o600))
	}
	var dead *member
	testkit.Eventually(t, func() bool {
		i := slices.IndexFunc(p.members, func(m *member) bool { return m.gone() })
		if i >= 0 {
			dead = p.members[i]
			p.members = slices.Delete(p.members, i, i+1)
		}
		return i >= 0
	}, "no %s passed %s", d.service, d.point)
	require.Equal(t, d.service, dead.service.Name)
	require.Equal(t, syscall.SIGKILL, dead.ended(t))
	return dead
}

// first returns a service's oldest process.
func (f *fleet) first(service string) *member {
	return f.members[slices.IndexFunc(f.members, func(m *member) bool { return m.service.Name == service })]
}

// succeeded counts the orders of which the table says success.
func (p *pairs) succeeded(t *testing.T, orders []string) (n int) {
	t.Helper()
	require.NoError(t, p.pool.QueryRow(t.Context(),
		`SELECT count(*) FROM vendor_erp_sync WHERE status = 'success' AND order_increment_id = ANY($1)`, orders).Scan(&n))
	return n
}

// left says how far the orders are, for a test that waited in vain; it is evaluated when printed.
func (p *pairs) left(t *testing.T, orders []string) fmt.Stringer {
	return testkit.Lazily(func() string { return fmt.Sprint(p.succeeded(t, orders)) })
}

// bases are the base URLs of a service's processes.
func (f *fleet) bases(service string) (urls []string) {
	for _, m := range f.members {
		if m.service.Name == service {
			urls = append(urls, "http://"+m.addr)
		}
	}
	return urls
}
