package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/netfail"
)

// client knows the connector's HTTP API, as a shop and as an operator.
type client struct {
	base  string
	token config.Secret
	http  *http.Client
}

// answerTimeout is longer than a connector takes whose database does not answer, so that its 503 comes first.
const answerTimeout = 15 * time.Second

// newClient has a transport of its own: idle connections end with the run.
func newClient(base string, token config.Secret) *client {
	return &client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: answerTimeout, Transport: &http.Transport{}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// errNobody means that nothing listens at the address.
var errNobody = errors.New("nothing listens")

// deniedError is a 401 or 403.
type deniedError struct{ status int }

func (e *deniedError) Error() string { return fmt.Sprint(e.status, " ", http.StatusText(e.status)) }

// laterError means: send the same again, after a while.
type laterError struct {
	why   string
	after time.Duration // 0: not said
}

func (e *laterError) Error() string { return e.why }

// reply is an answer that was read to its end, up to 1 MB.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do makes one request. Answers that mean the same for every request, as 401, are errors here.
func (c *client) do(ctx context.Context, method, path string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		if netfail.Refused(err) {
			err = fmt.Errorf("%w at %s", errNobody, c.base)
		}
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusOK { // its connection is not read: no deadline holds there
		return reply{}, fmt.Errorf("%s answered %s, which no connector does: name another with --url", c.base, resp.Status)
	}
	content, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden {
		return reply{}, &deniedError{resp.StatusCode}
	}
	return reply{resp.StatusCode, resp.Header, content}, err
}

// problem is what the connector says of a request it does not take.
type problem struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

// problem is the answer's own words, or its status where it has none: a proxy between may have answered.
func (r reply) problem() problem {
	var p problem
	if json.Unmarshal(r.body, &p) != nil || p.Detail == "" {
		p.Detail = fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
	}
	return p
}

// reasons are the problem's parts in one line.
func (p problem) reasons() string {
	var out []string
	for _, e := range p.Errors {
		out = append(out, strings.TrimSpace(e.Pointer+" "+e.Detail))
	}
	if len(out) == 0 {
		return p.Detail
	}
	return strings.Join(out, "; ")
}

// hello checks that a connector listens and takes the token.
func (c *client) hello(ctx context.Context) error {
	r, err := c.do(ctx, http.MethodGet, httpapi.BasePath+"/sync-status/hello", nil)
	if err == nil && r.status == http.StatusNotFound && !strings.Contains(string(r.body), string(domain.NotSynced)) {
		err = fmt.Errorf("what listens at %s is no connector, or one without its api service: name another with --url", c.base)
	}
	return err
}

// verdict is the answer to one event.
type verdict struct {
	Result  string `json:"result"` // accepted, duplicate or refused
	Differs bool   `json:"differs"`
	reasons string // of a refusal
}

// publish sends one event. A laterError means that the event is to be sent again.
func (c *client) publish(ctx context.Context, body []byte) (verdict, error) {
	r, err := c.do(ctx, http.MethodPost, httpapi.BasePath+"/events", body)
	var denied *deniedError
	switch {
	case errors.As(err, &denied) || ctx.Err() != nil:
		return verdict{}, err
	case err != nil:
		return verdict{}, &laterError{why: err.Error()}
	}
	switch r.status {
	case http.StatusOK, http.StatusAccepted:
		var v verdict
		if json.Unmarshal(r.body, &v) != nil || (v.Result != "accepted" && v.Result != "duplicate") {
			return verdict{}, fmt.Errorf("%s answered an event with %d and no result, which no connector does: name another with --url", c.base, r.status)
		}
		return v, nil
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusConflict, http.StatusUnprocessableEntity:
		return verdict{Result: "refused", reasons: r.problem().reasons()}, nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return verdict{}, fmt.Errorf("the connector at %s takes no events: its ingest service does not run there", c.base)
	}
	seconds, _ := strconv.Atoi(r.header.Get("Retry-After"))
	return verdict{}, &laterError{why: fmt.Sprintf("%d, %s", r.status, r.problem().Detail), after: time.Duration(seconds) * time.Second}
}

// status is the connector's answer to a status query.
type status struct {
	Status        domain.Status `json:"status"`
	Attempts      int           `json:"attempts"`
	MaxAttempts   int           `json:"max_attempts"`
	NextAttemptAt string        `json:"next_attempt_at"`
	ErpReference  string        `json:"erp_reference"`
	LastError     string        `json:"last_error"`
}

// status takes 404 for an answer: of an order that was never published it says not_synced.
func (c *client) status(ctx context.Context, ref domain.OrderRef) (status, error) {
	r, err := c.do(ctx, http.MethodGet, statusPath(ref), nil)
	if err == nil && r.status != http.StatusOK && r.status != http.StatusNotFound {
		err = errors.New(r.problem().Detail)
	}
	var s status
	if err == nil && json.Unmarshal(r.body, &s) != nil {
		err = fmt.Errorf("%d and no JSON", r.status)
	}
	return s, err
}

// statusPath names the shop unless it is the default one, as a newcomer would write it.
func statusPath(ref domain.OrderRef) string {
	path := httpapi.BasePath + "/sync-status/" + url.PathEscape(ref.IncrementID)
	if ref.Source != domain.DefaultSource {
		path += "?source=" + url.QueryEscape(ref.Source)
	}
	return path
}

// stats fails where there is no mock ERP beside the connector. That is how the demo knows of a real one.
func (c *client) stats(ctx context.Context) (mockerp.Stats, error) {
	r, err := c.do(ctx, http.MethodGet, "/mockerp/stats", nil)
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("%d", r.status)
	}
	var s mockerp.Stats
	if err == nil {
		err = json.Unmarshal(r.body, &s)
	}
	return s, err
}

// arm adds a fault to the mock ERP.
func (c *client) arm(ctx context.Context, f mockerp.Fault) error {
	body, err := json.Marshal([]mockerp.Fault{f})
	if err != nil {
		return err
	}
	r, err := c.do(ctx, http.MethodPost, "/mockerp/faults", body)
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("%d: %.200s", r.status, r.body)
	}
	return err
}

// disarm takes back the faults with the label and says how many had not happened yet.
func (c *client) disarm(ctx context.Context, label string) (int, error) {
	r, err := c.do(ctx, http.MethodDelete, "/mockerp/faults?label="+url.QueryEscape(label), nil)
	if err == nil && r.status != http.StatusOK {
		err = fmt.Errorf("%d: %.200s", r.status, r.body)
	}
	var answer struct {
		Faults int `json:"faults"`
	}
	if err == nil {
		err = json.Unmarshal(r.body, &answer)
	}
	return answer.Faults, err
}
