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

// An ERP that answered 409 to a key that it had booked, or was still at work on, ended the order as failed; a resync under a
// new key booked it twice.
func TestAConflictEndsNoOrderThatMayBeBooked(t *testing.T) {
	t.Parallel()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		cfg := configured(t, brokers)
		cfg.Settings.AlreadyBooked = []domain.BookedAnswer{{Status: http.StatusConflict, Code: "ALREADY_BOOKED"}}
		p := start(t, cfg)
		statuses := func(order string) (out []int) {
			for _, c := range p.calls(order) {
				out = append(out, c.Status)
			}
			return out
		}
		t.Run("the_first_call_is_still_under_way", func(t *testing.T) {
			p.t = t
			p.fail(mockerp.Fault{Order: "1", ResetAfter: true, Times: 1}, mockerp.Fault{Order: "1", Status: http.StatusConflict, Times: 1})
			p.publish(invoice("e1", "1"))
			require.NotNil(t, p.becomes("1", ended("success"))["erp_reference"])
			require.Equal(t, []int{0, 409, 200}, statuses("1"))
		})
		t.Run("it_is_booked_already", func(t *testing.T) {
			p.t = t
			p.fail(mockerp.Fault{Order: "2", ResetAfter: true, Times: 1}, mockerp.Fault{Order: "2", AlreadyBooked: true, Times: 1})
			p.publish(invoice("e2", "2"))
			got := p.becomes("2", ended("success"))
			require.True(t, strings.HasPrefix(got["erp_reference"].(string), "ERP-"), "%v", got) //nolint:forcetypeassert // a test
			require.Equal(t, []int{0, 409}, statuses("2"))
			p.callback(map[string]any{"orderIncrementId": "2", "status": "rejected"}, byModule)
			p.becomes("2", ended("failed"))
			_, answer := p.order("resync-order", "2", nil)
			require.Equal(t, true, answer["success"], "%v", answer)
			calls := p.calls("2")
			require.NotEqual(t, calls[1].Key, calls[2].Key, "the key was answered with success")
		})
		t.Run("nobody_can_have_sent_the_key", func(t *testing.T) {
			p.t = t
			p.fail(mockerp.Fault{Order: "3", Status: http.StatusConflict, Times: 1})
			p.publish(invoice("e3", "3"))
			p.becomes("3", failedWith("409"))
			require.Equal(t, []int{409}, statuses("3"))
		})
		t.Run("a_resync_under_the_same_key", func(t *testing.T) {
			p.t = t
			p.fail(mockerp.Fault{Order: "3", Status: http.StatusConflict, Times: 1})
			_, answer := p.order("resync-order", "3", nil)
			require.Equal(t, true, answer["success"], "%v", answer)
			require.Equal(t, []int{409, 409, 201}, statuses("3"))
		})
		t.Run("a_resync_under_a_new_key", func(t *testing.T) {
			p.t = t
			p.fail(mockerp.Fault{Order: "3", Status: http.StatusConflict, Times: 1})
			_, answer := p.order("resync-order", "3", map[string]any{"newKey": true, "reason": "why"})
			require.Equal(t, false, answer["success"], "%v", answer)
			require.Len(t, statuses("3"), 4)
		})
		requireOneEndOfEach(t, p)
	})
}

// requireOneEndOfEach: each generation ended once, and the table is the log.
func requireOneEndOfEach(t *testing.T, p *product) {
	t.Helper()
	p.t = t
	log := (&crashCase{p: p}).quiet(t)
	for order, facts := range log {
		requireOneEndOfEachGeneration(t, order, facts)
	}
	(&crashCase{p: p}).requireTableIsLog(t, log)
	p.conserved()
}
