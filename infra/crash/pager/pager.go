// Package pager is who is told of alerts in the crash harness. It does not always take a notice the first time, verifies each with code of its
// own, and keeps what it was told for the checker. It runs in the harness's process and is never killed.
package pager

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/erp"
	"github.com/erpconnector/erpconnector/infra/crash/history"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
	"github.com/erpconnector/erpconnector/shared/run"
)

// Secret signs the notices, as the product is told.
var Secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))

const (
	key          = "the key of the crash harness' pager"
	maxBody      = 1 << 20
	maxClockSkew = time.Minute // both clocks are of one machine
)

// Pager is a webhook for alerts.
type Pager struct {
	*httptest.Server

	plan nemesis.Plan

	mu      sync.Mutex // guards what follows
	notices []history.Notice
	calm    bool
}

// Start starts a pager that behaves as planned.
func Start(plan nemesis.Plan) *Pager {
	p := &Pager{plan: plan}
	p.Server = httptest.NewServer(http.HandlerFunc(p.listen))
	return p
}

// CalmDown lets it take every notice at once from now on.
func (p *Pager) CalmDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calm = true
}

// Notices returns what it was told so far, by arrival.
func (p *Pager) Notices() []history.Notice {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.notices)
}

// listen notes a notice and answers as planned: a notice may be refused or cut off the first time that it comes, and never again.
func (p *Pager) listen(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return // it broke while it was sent: nobody was told
	}
	n := read(r.Header, body, time.Now())
	planned, at := p.note(n)
	run.Sleep(r.Context(), planned.Delay)
	switch planned.Behaviour {
	case nemesis.Busy:
		w.WriteHeader(http.StatusServiceUnavailable)
	case nemesis.CutAfter: // it has it, and the sender does not know
		p.take(at)
		panic(http.ErrAbortHandler)
	default:
		p.take(at)
		w.WriteHeader(http.StatusNoContent)
	}
}

// note keeps a notice, and returns what is planned for it and its place.
func (p *Pager) note(n history.Notice) (planned nemesis.Notice, at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := slices.ContainsFunc(p.notices, func(o history.Notice) bool { return o.ID == n.ID })
	at = len(p.notices)
	p.notices = append(p.notices, n)
	if p.calm || again {
		return nemesis.Notice{}, at
	}
	return p.plan.Notice(at), at
}

// take notes that somebody has read a notice.
func (p *Pager) take(at int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices[at].Taken = true
}

// read returns what a notice says, and what is wrong with it.
func read(h http.Header, body []byte, now time.Time) history.Notice {
	digest := sha256.Sum256(body)
	n := history.Notice{At: now.UTC(), ID: h.Get("Webhook-Id"), BodyHash: hex.EncodeToString(digest[:8])}
	var said struct {
		Type string `json:"type"`
		Data struct {
			AlertID string `json:"alert_id"`
			Alert   string `json:"alert"`
			Event   string `json:"event"`
			Subject string `json:"subject"`
		} `json:"data"`
	}
	err := json.Unmarshal(body, &said)
	n.Alert, n.Event, n.Subject = said.Data.Alert, said.Data.Event, said.Data.Subject
	if err == nil {
		n.AlertID, err = strconv.ParseInt(said.Data.AlertID, 10, 64)
	}
	if err == nil && said.Type != n.Alert+"."+n.Event {
		err = fmt.Errorf("type is %s, of %s %s", said.Type, n.Alert, n.Event)
	}
	if err = errors.Join(err, verify(h, body, now)); err != nil {
		n.Problem = err.Error()
	}
	return n
}

// verify returns what is wrong with a notice's headers: see Standard Webhooks.
func verify(h http.Header, body []byte, now time.Time) error {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	switch {
	case id == "":
		return errors.New("Webhook-Id is missing")
	case err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > maxClockSkew:
		return fmt.Errorf("Webhook-Timestamp is %q, it is %d", at, now.Unix())
	case h.Get("Webhook-Signature") != "v1,"+erp.Sign(key, []byte(id+"."+at+"."+string(body))):
		return errors.New("Webhook-Signature is missing or wrong")
	}
	return nil
}
