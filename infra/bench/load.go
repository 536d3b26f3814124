package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// Load publishes events over connections that are kept.
type Load struct {
	URL     string // where events are posted
	Token   string
	First   int // number of the first order; orders of other loads have other numbers
	Events  int
	Clients int     // connections
	Batch   int     // events a request
	Rate    float64 // events a second; 0: as fast as they are taken
}

// Published is what a Load saw.
type Published struct {
	Took     time.Duration        // until the last request was answered
	Calls    []time.Duration      // of each request, sorted
	Accepted map[string]time.Time // of each order: when its request was answered
}

// Run publishes everything. Nobody may answer other than 2xx.
func (l Load) Run(ctx context.Context) (Published, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: l.Clients, MaxConnsPerHost: l.Clients}}
	defer client.CloseIdleConnections()
	p := Published{Accepted: make(map[string]time.Time, l.Events)}
	var (
		mu      sync.Mutex
		failed  error
		next    atomic.Int64
		posting sync.WaitGroup
		began   = time.Now()
	)
	for range l.Clients {
		posting.Go(func() {
			for {
				from := int(next.Add(int64(l.Batch))) - l.Batch
				if from >= l.Events || ctx.Err() != nil {
					return
				}
				if l.Rate > 0 {
					run.Sleep(ctx, time.Until(began.Add(time.Duration(float64(from)/l.Rate*float64(time.Second)))))
				}
				orders, body := l.request(from, min(from+l.Batch, l.Events))
				sent := time.Now()
				err := l.post(ctx, client, body)
				answered := time.Now()
				mu.Lock()
				failed = errors.Join(failed, err)
				p.Calls = append(p.Calls, answered.Sub(sent))
				for _, order := range orders {
					p.Accepted[order] = answered
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	posting.Wait()
	p.Took = time.Since(began)
	slices.Sort(p.Calls)
	return p, errors.Join(failed, ctx.Err())
}

// request is one request's body: an event, or an array of them.
func (l Load) request(from, to int) (orders []string, body []byte) {
	var b bytes.Buffer
	for i := from; i < to; i++ {
		order := strconv.Itoa(900_000_000 + l.First + i)
		orders = append(orders, order)
		if i > from {
			b.WriteByte(',')
		}
		b.WriteString(Invoice(order))
	}
	if l.Batch == 1 {
		return orders, b.Bytes()
	}
	return orders, slices.Concat([]byte("["), b.Bytes(), []byte("]"))
}

func (l Load) post(ctx context.Context, client *http.Client, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+l.Token)
	answer, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	said, err := io.ReadAll(answer.Body)
	if err == nil && (answer.StatusCode/100 != 2 || bytes.Contains(said, []byte(`"rejected"`))) {
		err = fmt.Errorf("publishing: %s: %.300s", answer.Status, said)
	}
	return err
}

// Invoice is an event of the size that a shop's usual order has: one row, one address.
func Invoice(order string) string {
	return `{"event_id":"bench-` + order + `","type":"invoice.created","occurred_at":"2026-11-23T10:00:00Z",` +
		`"invoice":{"increment_id":"I` + order + `","created_at":"2026-11-23 10:00:00","grand_total":"315.70"},` +
		`"order":{"order_increment_id":"` + order + `","order_id":` + order + `,"currency":"EUR","customer_email":"jane@example.com","customer_firstname":"Jane","customer_lastname":"Doe",` +
		`"items":[{"sku":"SKU-1","name":"City scooter, 滑板车","qty":"3","price":"100.00","row_total":"300.00"}],` +
		`"totals":{"subtotal":"300.00","tax":"10.70","shipping":"5.00","discount":"0.00","grand_total":"315.70"},` +
		`"billing_address":{"firstname":"Jane","lastname":"Doe","street":["High Street 1","Floor 2"],"city":"Lyon","region":"","postcode":"69001","country_id":"FR","telephone":"+33 1"},` +
		`"shipping_address":null,"is_virtual":true,"created_at":"2026-11-23 09:59:00","updated_at":"2026-11-23 10:00:00"}}`
}
