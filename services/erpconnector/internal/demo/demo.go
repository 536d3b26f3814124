// Package demo shows the connector at work: it publishes the events of invented shops at a rate, has the mock ERP
// misbehave with some of the orders, watches what becomes of each, and sums it up. It knows the connector by its HTTP
// API alone.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/config"
)

// MaxOrders bounds a run.
const MaxOrders = shop.MaxOrders

// Options configure a run. Out and URL are required.
type Options struct {
	URL        string // of the connector, without a path
	Token      config.Secret
	TokenFrom  string // where the token comes from, in words
	TokenShell string // how a shell gets at it: $API_TOKEN
	Self       string // how this program is called, for advice

	Seed      uint64
	Rate      float64       // events a second
	Orders    int           // 0: as many as the events are for
	Events    int           // 0: all of the orders'
	Misbehave float64       // share of the orders that the mock ERP treats badly, 0 to 1
	Wait      time.Duration // for orders to come to an end, after the last event

	WithoutMockERP bool // publish although there is no mock ERP: the orders go to a real one
	Out            io.Writer
}

// run is one run.
type run struct {
	Options
	client  *client
	tracker *tracker
	screen  *screen

	mock   bool          // there is a mock ERP
	before mockerp.Stats // its counters at the start
	all    bool          // events are published
	began  time.Time
}

// pollsPerSecond bounds the questions of all orders together: the demo must not be the load that it shows.
const pollsPerSecond = 50

// Run publishes, watches and prints the summary. An error says that nothing could be published, that publishing ended
// early, or that an order is in the ERP twice. When ctx ends the run ends with what it has; that is no error.
func Run(ctx context.Context, o Options) (Report, error) {
	r := &run{Options: o, client: newClient(o.URL, o.Token), tracker: newTracker(), screen: newScreen(o.Out), began: time.Now()}
	defer r.client.close()
	if err := r.check(ctx); err != nil {
		return Report{}, err
	}
	r.greet()
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	published := make(chan error, 1)
	go func() { published <- r.publish(publishing) }()
	err := r.watch(ctx, published)
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	report := r.report(ending)
	r.screen.clear()
	report.write(o)
	return report, errors.Join(err, report.problem())
}

// check makes sure that there is a connector, that it takes the token, and which ERP the orders would go to.
func (r *run) check(ctx context.Context) error {
	if err := r.client.hello(ctx); err != nil {
		return r.explain(err)
	}
	var err error
	r.before, err = r.client.stats(ctx)
	r.mock = err == nil
	if !r.mock && !r.WithoutMockERP {
		return fmt.Errorf("there is no mock ERP at %s/mockerp/stats, so these invented orders would go to a real ERP: "+
			"run the demo against `erpconnector up`, or say --without-mock-erp if you mean it", r.URL)
	}
	return nil
}

// explain adds what to do about it.
func (r *run) explain(err error) error {
	var denied *deniedError
	switch {
	case errors.Is(err, errNobody):
		return fmt.Errorf("nothing listens at %s: start `%s up` in another shell, or name the connector with --url", r.URL, r.Self)
	case errors.As(err, &denied) && r.Token == "":
		return fmt.Errorf("there is no token: %s; set API_TOKEN to the one that `%s up` prints", r.TokenFrom, r.Self)
	case errors.As(err, &denied) && denied.status == http.StatusForbidden:
		return fmt.Errorf("the token from %s may not publish, or not look at orders: set API_TOKEN to one that may, or to the one that `%s up` prints", r.TokenFrom, r.Self)
	case errors.As(err, &denied):
		return fmt.Errorf("the connector at %s does not take the token from %s (%w): set API_TOKEN to the one that `%s up` prints",
			r.URL, r.TokenFrom, err, r.Self)
	}
	return err
}

// greet says what is about to happen, and how to have it again.
func (r *run) greet() {
	what := fmt.Sprintf("%d orders", r.Orders)
	if r.Events > 0 {
		what = fmt.Sprintf("%d events in about %s", r.Events, time.Duration(float64(r.Events)/r.Rate*float64(time.Second)).Round(time.Second))
	}
	r.screen.print("Three e-scooter shops publish %s, up to %v events a second, to %s.", what, r.Rate, r.URL)
	switch {
	case !r.mock:
		r.screen.print("There is no mock ERP beside the connector, so nothing is made to go wrong: --misbehave has no effect.")
	case r.Misbehave > 0:
		r.screen.print("The mock ERP misbehaves with %.0f%% of the orders: 503, 429, slow answers, answers that get lost, 422.", r.Misbehave*100)
	}
	r.screen.print("Seed %d: --seed %d repeats these events. Ctrl-C ends early.\n", r.Seed, r.Seed)
}

// watch queries the orders until all have come as far as they will, or Wait is over, or ctx ends.
func (r *run) watch(ctx context.Context, published <-chan error) error {
	ask, draw := time.NewTicker(time.Second/pollsPerSecond), time.NewTicker(250*time.Millisecond)
	defer ask.Stop()
	defer draw.Stop()
	var end time.Time // zero while events are being published
	for {
		select {
		case <-ctx.Done():
			if end.IsZero() {
				return r.explain(<-published)
			}
			return nil
		case err := <-published:
			if err != nil {
				return r.explain(err)
			}
			end, published, r.all = time.Now().Add(r.Wait), nil, ctx.Err() == nil
		case <-draw.C:
			r.screen.status(r.statusLine())
		case <-ask.C:
			r.query(ctx)
		}
		if !end.IsZero() && (time.Now().After(end) || r.tracker.settled(end)) {
			return nil
		}
	}
}

// query queries the status of the order whose turn it is.
func (r *run) query(ctx context.Context) {
	ref, ok := r.tracker.due(time.Now())
	if !ok {
		return
	}
	s, err := r.client.status(ctx, ref)
	if err != nil {
		if ctx.Err() == nil {
			r.screen.note("status", "not told where %s stands: %s", name(ref), err)
		}
		return
	}
	if kind, text := r.tracker.learn(ref, s, time.Now()); kind != "" {
		r.screen.note(kind, "%s", text)
	}
}

// statusLine leaves out what is zero and rare, so that it fits on a line.
func (r *run) statusLine() string {
	c, t := r.tracker.counts(), r.tracker.tally()
	line := fmt.Sprintf("%4s  sent %d, duplicate %d, refused %d | in ERP %d, on the way %d",
		time.Since(r.began).Truncate(time.Second), c.published, c.again+c.known, c.refused, t.Success, t.UnderWay)
	for _, extra := range []struct {
		name string
		n    int
	}{{"to retry", t.Waiting}, {"failed", t.Failed}, {"held", t.Held}} {
		if extra.n > 0 {
			line += fmt.Sprintf(", %s %d", extra.name, extra.n)
		}
	}
	return line
}
