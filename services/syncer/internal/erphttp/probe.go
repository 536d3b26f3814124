package erphttp

import (
	"context"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// Probe asks the ERP by GET {base}{erp_health_path} whether it works, and reads the answer. It takes no longer than Send. It logs in as
// a call does, and is about no order: it carries no key and no signature.
func (c *Client) Probe(ctx context.Context) domain.Answer {
	return c.call(ctx, http.MethodGet, c.cfg.Settings.Current().HealthPath, Request{}).Answer
}
