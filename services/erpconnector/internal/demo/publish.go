package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/demo/internal/shop"
	"github.com/erpconnector/erpconnector/services/mockerp"
)

// publish sends the events one after another at the rate, as shops do. It ends without an error when ctx ends.
func (r *run) publish(ctx context.Context) error {
	pace := time.NewTicker(time.Duration(float64(time.Second) / r.Rate))
	defer pace.Stop()
	sent := 0
	for e := range shop.Stream(r.Seed, cmp.Or(r.Orders, shop.MaxOrders)) {
		r.arm(ctx, e)
		v, err := r.send(ctx, e)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		r.took(e, v)
		if sent++; sent == r.Events {
			return nil
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

const (
	firstBackOff = time.Second
	longBackOff  = 30 * time.Second
	giveUpAfter  = 2 * time.Minute
)

// send sends an event until it is answered, as a shop must: with the same event id, so that it counts once.
func (r *run) send(ctx context.Context, e shop.Event) (verdict, error) {
	began := time.Now()
	for wait := firstBackOff; ; wait = min(2*wait, longBackOff) {
		v, err := r.client.publish(ctx, e.Body)
		var later *laterError
		switch {
		case !errors.As(err, &later):
			return v, err
		case time.Since(began) > giveUpAfter:
			return v, fmt.Errorf("event %s was not taken for %s: %w; look at the connector's log and at %s/readyz", e.ID, giveUpAfter, err, r.URL)
		case later.after > 0:
			wait = min(later.after, longBackOff)
		}
		r.screen.note("again", "not taken: %s; event %s is sent again in %s", later.why, e.ID, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}

// took notes the answer to an event, and shows the reasons of a refusal.
func (r *run) took(e shop.Event, v verdict) {
	first := r.tracker.took(e, v, time.Now())
	switch {
	case v.Result == "refused" && e.Kind == shop.Mistake:
		r.screen.note("refused", "event %s of %s (a shop's bug, on purpose): %s", e.ID, name(e.Ref), v.reasons)
	case v.Result == "refused":
		r.screen.note("refused", "event %s of %s: %s", e.ID, name(e.Ref), v.reasons)
	case first:
		r.screen.print("Event %s was already accepted before: seed %d has been here. Its events are duplicates and start nothing anew;\n"+
			"you see where its orders stand now. For new orders leave out --seed, or choose another.", e.ID, r.Seed)
	}
}

// label marks our faults, so that we take back no others.
func (r *run) label() string { return fmt.Sprintf("demo-%d", r.Seed) }

// arm adds the order's fault to the mock ERP before its first invoice is published.
func (r *run) arm(ctx context.Context, e shop.Event) {
	if !r.mock || e.Fault.Kind == 0 || e.Fault.Luck >= r.Misbehave || r.tracker.knownBefore(e.Ref) {
		return
	}
	f, words := fault(e.Fault)
	f.Label, f.Source, f.Order = r.label(), e.Ref.Source, e.Ref.IncrementID
	if err := r.client.arm(ctx, f); err != nil {
		r.screen.note("faults", "the mock ERP was not told to misbehave with %s: %s", name(e.Ref), err)
		return
	}
	r.tracker.arm(e.Ref, orderFault{e.Fault.Kind, words, f.Times})
}

// fault is an order's fault in the mock ERP's terms, and in words.
func fault(t shop.Fault) (f mockerp.Fault, words string) {
	f.Times = 1
	switch t.Kind {
	case shop.Unavailable:
		f.Status, f.Times, words = http.StatusServiceUnavailable, min(t.Size, 2), "the ERP answered 503"
	case shop.Limited:
		f.Status, f.RetryAfter = http.StatusTooManyRequests, fmt.Sprint(t.Size)
		words = "the ERP answered 429, Retry-After " + f.RetryAfter + " s"
	case shop.Slow:
		f.Delay, words = mockerp.Delay(time.Duration(t.Size)*800*time.Millisecond), "the ERP took its time"
	case shop.Lost:
		f.ResetAfter, words = true, "the ERP booked it, but its answer got lost"
	case shop.Broken:
		f.ResetBefore, words = true, "the connection broke before the ERP booked it"
	case shop.Rejected:
		f.Status, words = http.StatusUnprocessableEntity, "the ERP answered 422, which no retry mends"
	}
	return f, words
}

// Print writes the events that a run would publish, one a line.
func Print(ctx context.Context, o Options) error {
	n := 0
	for e := range shop.Stream(o.Seed, cmp.Or(o.Orders, shop.MaxOrders)) {
		if _, err := fmt.Fprintf(o.Out, "%s\n", e.Body); err != nil {
			return err
		}
		if n++; n == o.Events {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}
