package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/run"
)

// paths of the commands. The resyncs differ in their bodies.
var paths = map[string]string{
	"sync": "/sync-order", "resync": "/resync-order", "resync-new-key": "/resync-order", "resync-again": "/resync-order", "cancel": "/cancel-order",
	"settle": "/settle-order", "send-now": "/send-order-now",
}

// command sends an operator's command once. When no answer comes, the outcome is unknown. A resync of an order that the ERP
// has booked is refused at first with an explanation, and the operator confirms it with a second request.
func (s *Shops) command(runCtx context.Context, scenario nemesis.Scenario, c nemesis.Command) {
	booked := s.cfg.Booked(scenario.Source, scenario.Order)
	switch {
	case c.Kind == nemesis.ResyncFailed && !s.failed(runCtx, scenario), c.Kind == nemesis.ResyncBooked && booked == nil:
	case c.Kind == nemesis.ResyncFailed:
		_, _ = s.request(runCtx, scenario, "resync")
	case c.Kind == nemesis.ResyncBooked:
		status, err := s.request(runCtx, scenario, "resync")
		if err == nil && status == http.StatusConflict {
			status, err = s.request(runCtx, scenario, "resync-again")
		}
		if err == nil && status == http.StatusAccepted {
			s.Callback(runCtx, *booked)
		}
	default:
		_, _ = s.request(runCtx, scenario, c.Kind)
	}
}

// request sends one command with the body that it needs, and records it.
func (s *Shops) request(runCtx context.Context, scenario nemesis.Scenario, what string) (status int, err error) {
	body := map[string]any{"orderIncrementId": scenario.Order, "source": scenario.Source}
	switch what {
	case "resync-new-key", "resync-again":
		body["newKey"], body["reason"] = true, "the crash harness requests it"
	case "cancel", "send-now":
		body["reason"] = "the crash harness requests it"
	case "settle":
		body["reason"], body["erpReference"] = "the crash harness requests it", "HAND-"+scenario.Order
	}
	r := history.Request{Kind: what, Source: scenario.Source, Order: scenario.Order, Began: time.Now().UTC()}
	status, _, err = s.call(runCtx, http.MethodPost, s.api()+paths[what]+"?wait=0", encode(body), nil)
	s.remember(r, status, err)
	return status, err
}

// failed reports whether the status query says that the order has failed.
func (s *Shops) failed(runCtx context.Context, scenario nemesis.Scenario) bool {
	target := fmt.Sprintf("%s/sync-status/%s?source=%s", s.api(), url.PathEscape(scenario.Order), url.QueryEscape(scenario.Source))
	status, body, err := s.call(runCtx, http.MethodGet, target, nil, nil)
	var answer struct {
		Status string `json:"status"`
	}
	return err == nil && status == http.StatusOK && json.Unmarshal(body, &answer) == nil && answer.Status == "failed"
}

// callbackTimeout is how long the ERP repeats a callback that was not answered.
const callbackTimeout = 15 * time.Second

// Callback delivers a callback of the ERP. It repeats the same body until it is answered: only a known outcome can be held
// against the product.
func (s *Shops) Callback(ctx context.Context, c erp.CallbackRequest) {
	body := map[string]any{"orderIncrementId": c.Order, "status": c.Status}
	for name, value := range map[string]string{"source": c.Source, "erpReference": c.Reference, "idempotencyKey": c.Key} {
		if value != "" {
			body[name] = value
		}
	}
	r := history.Request{Kind: "webhook-" + c.Status, Source: c.Source, Order: c.Order, Key: c.Key, Reference: c.Reference, Began: time.Now().UTC()}
	raw := encode(body)
	signed := map[string]string{"X-Signature": erp.Sign(s.cfg.Secret, raw)}
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	status, _, err := s.call(ctx, http.MethodPost, s.api()+"/webhook", raw, signed)
	for (err != nil || status >= http.StatusInternalServerError) && run.Sleep(ctx, 2*retryInterval) {
		status, _, err = s.call(ctx, http.MethodPost, s.api()+"/webhook", raw, signed)
	}
	s.remember(r, status, err)
}

// remember records a request and its outcome. A server error leaves it unknown: the change may have been committed.
func (s *Shops) remember(r history.Request, status int, err error) {
	r.Ended, r.Outcome = time.Now().UTC(), history.Unknown
	if err == nil {
		r.HTTPCode = status
		switch {
		case status < http.StatusMultipleChoices:
			r.Outcome = history.Accepted
		case status < http.StatusInternalServerError:
			r.Outcome = history.Refused
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

// api returns the base URL of any process.
func (s *Shops) api() string { return s.cfg.API[rand.IntN(len(s.cfg.API))] } //nolint:gosec // any will do

func encode(body map[string]any) []byte {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return raw
}
