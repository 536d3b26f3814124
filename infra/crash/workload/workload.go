// Package workload is the load of the crash harness: shops that publish through all doors, operators that ask for orders,
// and the ERP's callbacks. Each keeps to what it would do in life: it asks again until it is answered, under the same
// event id, and remembers what it knows of it.
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

// Config is what shops are made of.
type Config struct {
	Plan        nemesis.Plan
	DatabaseURL string
	Ingest, API []string // base URLs, up to and with the module's path
	Token       string
	Secret      string // signs callbacks
	// Booked is the callback of the order's first booking that the ERP has answered, without a key; nil when there is none.
	Booked func(source, order string) *erp.CallbackRequest
	Rate   float64 // orders per second
}

// Shops publish and ask, and keep the record of it.
type Shops struct {
	cfg     Config
	client  *http.Client
	pool    *pgxpool.Pool
	std     *sql.DB
	batched chan batchedEvent

	mu           sync.Mutex // guards what follows
	publications []history.Publication
	requests     []history.Request
	changed      map[string]bool
	accepted     []acceptedEvent
}

// acceptedEvent is an event that was accepted, and when.
type acceptedEvent struct {
	body []byte
	at   time.Time
}

// Republish publishes once more what was accepted since then, over HTTP: whoever lost it takes it again. It returns how
// much that is.
func (s *Shops) Republish(life context.Context, since time.Time) int {
	s.mu.Lock()
	bodies := [][]byte{}
	for _, t := range s.accepted {
		if t.at.After(since) {
			bodies = append(bodies, t.body)
		}
	}
	s.mu.Unlock()
	for _, body := range bodies {
		s.post(life, body)
	}
	return len(bodies)
}

// Open connects to the shops' database.
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

// Publications are what shops know.
func (s *Shops) Publications() []history.Publication {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.publications)
}

// Requests are what operators and the ERP know.
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

// Run begins orders at the rate until open ends. It returns once all that was begun is answered, or life ends.
func (s *Shops) Run(open, life context.Context) {
	var stories, batches sync.WaitGroup
	collecting, stop := context.WithCancel(life)
	batches.Go(func() { s.makeBatches(collecting, life) })
	tick := time.NewTicker(time.Duration(float64(time.Second) / s.cfg.Rate))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-open.Done():
			stories.Wait()
			stop()
			batches.Wait()
			return
		case <-tick.C:
			stories.Go(func() { s.play(open, life, s.cfg.Plan.Scenario(n)) })
		}
	}
}

// play lives through one story.
func (s *Shops) play(open, life context.Context, story nemesis.Scenario) {
	if story.Changed {
		s.mu.Lock()
		s.changed[story.Source+"/"+story.Order] = true
		s.mu.Unlock()
	}
	for _, e := range story.Events {
		if !run.Sleep(open, e.Pause) || s.publish(life, story, e) != history.Accepted {
			return
		}
	}
	began := time.Now()
	slices.SortFunc(story.Commands, func(a, b nemesis.Command) int { return cmp.Compare(a.Delay, b.Delay) })
	for _, a := range story.Commands {
		if !run.Sleep(open, time.Until(began.Add(a.Delay))) {
			return
		}
		s.command(life, story, a)
	}
}

// publish hands over one event, through one door or two at once, and keeps what the shop knows afterwards.
func (s *Shops) publish(life context.Context, story nemesis.Scenario, e nemesis.Event) history.Outcome {
	p := history.Publication{
		Door: e.Door, EventID: e.ID, Type: e.Type, Source: story.Source, Order: story.Order, First: time.Now().UTC(),
	}
	body := eventJSON(story, e)
	var again sync.WaitGroup
	var twice history.Outcome
	if e.DuplicateDoor != "" {
		again.Go(func() { twice = s.publishBy(life, e.DuplicateDoor, e, body) })
	}
	p.Outcome = s.publishBy(life, e.Door, e, body)
	again.Wait()
	if twice == history.Accepted {
		p.Outcome = twice
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

func (s *Shops) publishBy(life context.Context, door string, e nemesis.Event, body []byte) history.Outcome {
	switch door {
	case nemesis.HTTP:
		return s.post(life, body)
	case nemesis.HTTPBatch:
		return s.postInBatch(life, body)
	default:
		return s.publishInTx(life, door, e, body)
	}
}

// eventJSON is the event in the form that every door takes.
func eventJSON(story nemesis.Scenario, e nemesis.Event) []byte {
	sku := "SCOOT-1"
	if e.Invalid {
		sku = ""
	}
	address := map[string]any{"firstname": "Ada", "lastname": "Lovelace", "street": []string{"1 Main Street"}, "city": "London", "country_id": "GB"}
	event := map[string]any{
		"event_id": e.ID, "type": e.Type, "source": story.Source,
		"order": map[string]any{
			"order_increment_id": story.Order, "currency": "EUR", "customer_email": "ada@example.com",
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
