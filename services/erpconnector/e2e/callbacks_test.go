package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// resentAndParked brings an order that the ERP has to a second generation with another snapshot, parked after a 500.
func (p *product) resentAndParked(order string) {
	p.t.Helper()
	updated := invoice("u"+order, order)
	updated["type"] = "order.updated"
	updated["order"].(map[string]any)["customer_email"] = "corrected@example.com" //nolint:forcetypeassert // a test
	p.publish(updated)
	p.fail(mockerp.Fault{Order: order, Status: 500, RetryAfter: "6", Times: 1})
	status, answer := p.order("resync-order?wait=0", order, map[string]any{"newKey": true, "reason": "a correction"})
	require.Equal(p.t, http.StatusAccepted, status, "%v", answer)
	p.becomes(order, func(s map[string]any) bool {
		return s["status"] == "queued" && s["attempts"] == 1.0 && s["next_attempt_at"] != nil && len(p.calls(order)) == 2
	})
}

// The ERP delivered its callback of generation 1 again while generation 2 was parked: generation 2 became success, its
// correction never went out, and as its key then counted as answered, the next resync took a new key and booked twice.
func TestACallbackOfAnEarlierGenerationSettlesNothing(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		p := start(t, configured(t, brokers))
		callback := func(order, reference string) string {
			return `{"orderIncrementId": "` + order + `", "erpReference": "` + reference + `", "status": "accepted"}`
		}
		for order, late := range map[string]func(order, reference string) string{
			"the_same_bytes_again":      callback,
			"named_by_the_answer_alone": func(order, reference string) string { return strings.ReplaceAll(callback(order, reference), " ", "") },
			"names_nothing":             func(order, _ string) string { return `{"orderIncrementId": "` + order + `", "status": "accepted"}` },
			"rejects": func(order, reference string) string {
				return strings.ReplaceAll(callback(order, reference), "accepted", "rejected")
			},
			"echoes_the_older_key": func(order, reference string) string {
				key := domain.IdempotencyKey(domain.OrderRef{Source: domain.DefaultSource, IncrementID: order}, 1)
				return strings.Replace(callback(order, reference), "{", `{"idempotencyKey": "`+key+`", `, 1)
			},
		} {
			t.Run(order, func(t *testing.T) {
				t.Parallel() // each waits for its retry
				p := &product{t: t, cfg: p.cfg, base: p.base}
				p.publish(invoice("e"+order, order))
				first, _ := p.becomes(order, ended("success"))["erp_reference"].(string)
				if order != "named_by_the_answer_alone" {
					p.deliver(callback(order, first), byModule)
				}
				p.resentAndParked(order)
				status, answer := p.deliver(late(order, first), byModule)
				require.Equal(t, http.StatusOK, status, "%v", answer)
				require.Equal(t, false, answer["changed"], "%v", answer)
				require.NotEqual(t, "Webhook processed successfully", answer["message"], "it says why nothing changed")

				second := p.becomes(order, ended("success"))
				calls := p.calls(order)
				require.Len(t, calls, 3, "the correction goes out")
				require.Contains(t, calls[2].Body, "corrected@example.com")
				require.NotEqual(t, calls[0].Key, calls[2].Key)
				require.NotEqual(t, first, second["erp_reference"])
			})
		}
	})
}
