// Package workload is the load of the crash harness: shops that publish by all doors, operators that send commands, and the
// callbacks of the ERP. Each does what a real one does: it repeats an event under the same event id until it is answered.
// It also remembers what it knows of the outcome, as the checker holds the product to exactly that.
//
// Two contexts bound the work. publishCtx ends when no new order begins. runCtx ends when nobody waits for answers any more.
package workload

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the shops' database/sql

	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Config says where the product is, and what the shops and operators do.
type Config struct {
	Plan        nemesis.Plan
	DatabaseURL string
	Ingest, API []string // base URLs, including the module's path
	Token       string
	Secret      string // signs callbacks
	// Booked returns the callback of the order's first booking that the ERP has answered, without a key; nil: there is none.
	Booked func(source, order string) *erp.CallbackRequest
	Rate   float64 // orders per second
}

// Shops publish events and send commands, and record the outcomes.
type Shops struct {
	cfg     Config
	client  *http.Client
	pool    *pgxpool.Pool
	std     *sql.DB
	batched chan batchedEvent

	mu           sync.Mutex // guards what follows
	publications []history.Publication
	requests     []history.Request
	changed      map[string]bool // by source and order
	accepted     []acceptedEvent
}

// acceptedEvent is an event that was accepted, and the time of its answer.
type acceptedEvent struct {
	body []byte
	at   time.Time
}

// Republish publishes over HTTP again what was accepted since then, and returns the number of events. A real shop does so
// after a failover of Postgres: what was lost is accepted anew, and what was not is a duplicate.
func (s *Shops) Republish(runCtx context.Context, since time.Time) int {
	s.mu.Lock()
	bodies := [][]byte{}
	for _, t := range s.accepted {
		if t.at.After(since) {
			bodies = append(bodies, t.body)
		}
	}
	s.mu.Unlock()
	for _, body := range bodies {
		s.post(runCtx, body)
	}
	return len(bodies)
}

// Open connects to the shops' database. Close the result.
func Open(cfg Config) (*Shops, error) {
	config, err := pgxpool.ParseConfig(cfg.DatabaseURL)
	if err != nil {
		return nil, err
	}
	config.MaxConns = 8
	s := &Shops{
		cfg: cfg, batched: make(chan batchedEvent), changed: map[string]bool{},
		client: &http.Client{Timeout: answerTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
	}
	if s.pool, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		return nil, err
	}
	s.std, err = sql.Open("pgx", cfg.DatabaseURL)
	if err == nil {
		s.std.SetMaxOpenConns(8)
	}
	return s, err
}

// Close ends the connections.
func (s *Shops) Close() {
	s.pool.Close()
	_ = s.std.Close()
}

// Publications returns what the shops know of their events.
func (s *Shops) Publications() []history.Publication {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.publications)
}

// Requests returns what operators and the ERP know of their requests.
func (s *Shops) Requests() []history.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Changed reports whether an order was published in more than one form.
func (s *Shops) Changed(source, order string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed[source+"/"+order]
}

// Run begins orders at the rate until publishCtx ends. It returns once everything that began is answered, or runCtx ends.
func (s *Shops) Run(publishCtx, runCtx context.Context) {
	var scenarios, batches sync.WaitGroup
	collecting, stop := context.WithCancel(runCtx)
	batches.Go(func() { s.makeBatches(collecting, runCtx) })
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.cfg.Rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-publishCtx.Done():
			scenarios.Wait()
			stop() // only now: the last scenarios still publish in batches
			batches.Wait()
			return
		case <-tick.C:
			scenarios.Go(func() { s.play(publishCtx, runCtx, s.cfg.Plan.Scenario(n)) })
		}
	}
}

// play goes through one scenario. It ends early when an event is not accepted: no shop goes on with an order like that.
func (s *Shops) play(publishCtx, runCtx context.Context, scenario nemesis.Scenario) {
	if scenario.Changed {
		s.mu.Lock()
		s.changed[scenario.Source+"/"+scenario.Order] = true
		s.mu.Unlock()
	}
	for _, e := range scenario.Events {
		if !run.Sleep(publishCtx, e.Pause) || s.publish(runCtx, scenario, e) != history.Accepted {
			return
		}
	}
	began := time.Now()
	slices.SortFunc(scenario.Commands, func(a, b nemesis.Command) int { return cmp.Compare(a.Delay, b.Delay) })
	for _, a := range scenario.Commands {
		if !run.Sleep(publishCtx, time.Until(began.Add(a.Delay))) {
			return
		}
		s.command(runCtx, scenario, a)
	}
}

// publish publishes one event, by one door or by two at once, and records the outcome. One acceptance is enough: then the
// event must be in the log, whatever the other door answered.
func (s *Shops) publish(runCtx context.Context, scenario nemesis.Scenario, e nemesis.Event) history.Outcome {
	p := history.Publication{
		Door: e.Door, EventID: e.ID, Type: e.Type, Source: scenario.Source, Order: scenario.Order, First: time.Now().UTC(),
	}
	body := eventJSON(scenario, e)
	var duplicate sync.WaitGroup
	var second history.Outcome
	if e.DuplicateDoor != "" {
		duplicate.Go(func() { second = s.publishBy(runCtx, e.DuplicateDoor, e, body) })
	}
	p.Outcome = s.publishBy(runCtx, e.Door, e, body)
	duplicate.Wait()
	if second == history.Accepted {
		p.Outcome = second
	}
	p.Last = time.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publications = append(s.publications, p)
	if p.Outcome == history.Accepted {
		s.accepted = append(s.accepted, acceptedEvent{body, p.Last})
	}
	return p.Outcome
}

// publishBy publishes by one door.
func (s *Shops) publishBy(runCtx context.Context, door string, e nemesis.Event, body []byte) history.Outcome {
	switch door {
	case nemesis.HTTP:
		return s.post(runCtx, body)
	case nemesis.HTTPBatch:
		return s.postInBatch(runCtx, body)
	default:
		return s.publishInTx(runCtx, door, e, body)
	}
}

// eventJSON encodes the event in the form that every door takes.
func eventJSON(scenario nemesis.Scenario, e nemesis.Event) []byte {
	sku := "SCOOT-1"
	if e.Invalid {
		sku = ""
	}
	address := map[string]any{"firstname": "Ada", "lastname": "Lovelace", "street": []string{"1 Main Street"}, "city": "London", "country_id": "GB"}
	event := map[string]any{
		"event_id": e.ID, "type": e.Type, "source": scenario.Source,
		"order": map[string]any{
			"order_increment_id": scenario.Order, "currency": "EUR", "customer_email": "ada@example.com",
			"customer_lastname": fmt.Sprint("Lovelace ", e.Revision),
			"items":             []any{map[string]any{"item_id": 1, "sku": sku, "name": "Scooter & bell", "qty": "2", "price": "99.99", "row_total": "199.98"}},
			"totals":            map[string]any{"subtotal": "199.98", "tax": "20.00", "shipping": "10.00", "discount": "0.00", "grand_total": "229.98"},
			"billing_address":   address, "shipping_address": address,
		},
	}
	if e.Type == nemesis.InvoiceCreated {
		event["invoice"] = map[string]any{"increment_id": e.ID, "grand_total": "229.98"}
	}
	body, err := json.Marshal(event)
	if err != nil {
		panic(err) // maps of strings and numbers always encode
	}
	return body
}
