package workload

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
)

// answer is one answer of the product; status 0 breaks the connection.
type answer struct {
	status int
	body   string
}

// received is a request that the product got.
type received struct {
	method, path string
	header       http.Header
	body         string
}

// product stands for ingest and api. It gives its answers in turn, and the last one again and again.
type product struct {
	url string

	mu       sync.Mutex // guards what follows
	answers  []answer
	requests []received
}

func newProduct(t *testing.T, answers ...answer) *product {
	t.Helper()
	p := &product{answers: answers}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *product) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.requests = append(p.requests, received{r.Method, r.URL.RequestURI(), r.Header, string(body)})
	a := p.answers[0]
	if len(p.answers) > 1 {
		p.answers = p.answers[1:]
	}
	p.mu.Unlock()
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (p *product) got() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// shops are shops of this product; databaseURL may be empty when no event goes by the database.
func (p *product) shops(t *testing.T, databaseURL string) *Shops {
	t.Helper()
	s, err := Open(Config{
		Plan: nemesis.Plan{Seed: 3}, DatabaseURL: databaseURL, Ingest: []string{p.url}, API: []string{p.url}, Token: "token", Secret: "secret", Rate: 200,
		Booked: func(string, string) *erp.CallbackRequest { return nil },
	})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}
