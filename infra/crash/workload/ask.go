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

// paths by what is asked.
var paths = map[string]string{
	"sync": "/sync-order", "resync": "/resync-order", "resync-new-key": "/resync-order", "resync-again": "/resync-order", "cancel": "/cancel-order",
	"settle": "/settle-order", "send-now": "/send-order-now",
}

// command is an operator's request, made once: whether it was taken when no answer came is not known. Who means to send an order
// that the ERP has booked is told what would happen, and asks for it then.
func (s *Shops) command(life context.Context, story nemesis.Scenario, a nemesis.Command) {
	old := s.cfg.Booked(story.Source, story.Order)
	switch {
	case a.Kind == nemesis.ResyncFailed && !s.failed(life, story), a.Kind == nemesis.ResyncBooked && old == nil:
	case a.Kind == nemesis.ResyncFailed:
		_, _ = s.request(life, story, "resync")
	case a.Kind == nemesis.ResyncBooked:
		status, err := s.request(life, story, "resync")
		if err == nil && status == http.StatusConflict {
			status, err = s.request(life, story, "resync-again")
		}
		if err == nil && status == http.StatusAccepted {
			s.Callback(life, *old)
		}
	default:
		_, _ = s.request(life, story, a.Kind)
	}
}

func (s *Shops) request(life context.Context, story nemesis.Scenario, what string) (status int, err error) {
	body := map[string]any{"orderIncrementId": story.Order, "source": story.Source}
	switch what {
	case "resync-new-key", "resync-again":
		body["newKey"], body["reason"] = true, "the crash harness asks"
	case "cancel", "send-now":
		body["reason"] = "the crash harness asks"
	case "settle":
		body["reason"], body["erpReference"] = "the crash harness asks", "HAND-"+story.Order
	}
	r := history.Request{Kind: what, Source: story.Source, Order: story.Order, Began: time.Now().UTC()}
	status, _, err = s.call(life, http.MethodPost, s.api()+paths[what]+"?wait=0", encode(body), nil)
	s.remember(r, status, err)
	return status, err
}

// failed reports whether the status query says so.
func (s *Shops) failed(life context.Context, story nemesis.Scenario) bool {
	target := fmt.Sprintf("%s/sync-status/%s?source=%s", s.api(), url.PathEscape(story.Order), url.QueryEscape(story.Source))
	status, said, err := s.call(life, http.MethodGet, target, nil, nil)
	var answer struct {
		Status string `json:"status"`
	}
	return err == nil && status == http.StatusOK && json.Unmarshal(said, &answer) == nil && answer.Status == "failed"
}

// callbackTimeout is how long the ERP repeats a callback that was not taken.
const callbackTimeout = 15 * time.Second

// Callback is the ERP's: it repeats the same until it is answered, as the ERP knows the answer and we must.
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

// remember keeps what is known of a request.
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

func (s *Shops) api() string { return s.cfg.API[rand.IntN(len(s.cfg.API))] } //nolint:gosec // any will do

func encode(body map[string]any) []byte {
	raw, err := json.Marshal(body)
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return raw
}
