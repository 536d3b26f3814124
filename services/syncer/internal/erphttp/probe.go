package erphttp

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Probe asks the ERP by GET {base}{erp_health_path} whether it works, and reads the answer. It takes no longer than Send.
func (c *Client) Probe(ctx context.Context) domain.Answer {
	s := c.cfg.Settings.Current()
	target := strings.TrimRight(s.ErpBaseURL, "/") + s.HealthPath
	timeout, cancel := context.WithTimeout(ctx, s.ErpTimeout)
	defer cancel()
	call := &call{timeout: s.ErpTimeout, target: redact(target), body: newOrderBody(nil)}
	req, err := http.NewRequestWithContext(call.traced(timeout), http.MethodGet, target, nil)
	if err != nil {
		return failure(domain.ErrorNetwork, fmt.Sprintf("ERP_BASE_URL cannot be called: %s", withoutURL(err))).Answer
	}
	if u := req.URL.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "erpconnector")
	if c.cfg.APIKey != "" {
		req.Header.Set("X-Api-Key", c.cfg.APIKey.Reveal())
	}
	reply, err := c.exchange(req, call)
	if err != nil {
		return call.failed(err).Answer
	}
	return reply.Answer
}
