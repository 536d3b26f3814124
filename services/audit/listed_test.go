package audit

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/event"
)

// Two audits of the same log listed the violations of an order in two orders, so that they could not be compared, and a limit left
// out others each time.
func TestTwoAuditsListTheSame(t *testing.T) {
	t.Parallel()
	list := func(limit int) (out []string) {
		r := newReport(Params{Limit: limit})
		o := log(func(o *order) {
			o.records = nil
			for n := range int64(8) {
				o.rows = append(o.rows, row{fact{relayed[event.TopicCallback], uint64(100 + n)}, 50 - n})
				o.events = append(o.events, uint64(200+n))
			}
			for n := range int64(8) {
				o.unreadable = append(o.unreadable, in(event.TopicAfterSend, 30-n), in(event.TopicSuccess, 30-n))
			}
		})
		j := &judgement{o: o, relayed: 100, gate: o.gate, before: func(place) bool { return false }}
		j.run()
		r.count(j)
		r.finish()
		for _, v := range r.Violations {
			offset := int64(-1)
			if v.Offset != nil {
				offset = *v.Offset
			}
			out = append(out, fmt.Sprint(v.Kind, " ", v.Topic, " ", offset, " ", v.OutboxID, " ", v.event))
		}
		return out
	}
	whole := list(0)
	require.Len(t, whole, 10+8+16)
	for range 20 {
		require.Equal(t, whole, list(0))
		require.Equal(t, whole[:5], list(5), "a limit shows the first of them")
	}
	require.Equal(t, []string{
		"event_not_published sales_order_event -1 0 200", "event_not_published sales_order_event -1 0 201",
	}, whole[:2])
	require.Equal(t, []string{
		"row_not_in_kafka sales_order_event -1 10 0", "row_not_in_kafka vendor_erp_sync_requested -1 11 0", "row_not_in_kafka vendor_erp_sync_callback -1 43 0",
	}, whole[8:11], "by the outbox' id")
	require.Equal(t, "unreadable vendor_erp_sync_after_send 23 0 0", whole[18], "by topic and offset")
}

// Programs read the names of the fields; what is not known of a violation is left out.
func TestTheJSONOfAViolation(t *testing.T) {
	t.Parallel()
	j := &judgement{o: &order{key: "shop/a%2F1", gate: &gateRow{syncID: 9, generation: 2}}, partition: 3}
	whole := *j.found(BeforeSendAlone, &generation{number: 1, syncID: 8}, &place{indexes[event.TopicBeforeSend], 0})
	whole.Attempt, whole.OutboxID, whole.Found, whole.Means = 4, 5, "f", "m"
	raw, err := json.Marshal(whole)
	require.NoError(t, err)
	require.JSONEq(t, `{"break":"before_send_alone","source":"shop","order_increment_id":"a/1","sync_id":8,"generation":1,"attempt":4,
		"topic":"vendor_erp_sync_before_send","partition":3,"offset":0,"outbox_id":5,"found":"f","means":"m"}`, string(raw), "offset 0 is a place too")
	bare := *j.found(GateSyncID, nil, nil)
	bare.Means = ""
	raw, err = json.Marshal(bare)
	require.NoError(t, err)
	require.JSONEq(t, `{"break":"gate_sync_id","source":"shop","order_increment_id":"a/1","sync_id":9,"generation":2,"means":""}`, string(raw))
	raw, err = json.Marshal(Counts{Source: "s", Accepted: 1, Relayed: 2, UnderWay: 3, Success: 4, Failed: 5, Alive: Alive{6, 7, 8, 9, 10, 11}, NotRequested: 12, Broken: 13})
	require.NoError(t, err)
	require.JSONEq(t, `{"source":"s","accepted":1,"relayed":2,"under_way":3,"ended_success":4,"ended_failed":5,
		"alive":{"outbox":6,"held":7,"requested":8,"parked":9,"due":10,"set_aside":11},"not_requested":12,"broken":13}`, string(raw))
	require.Equal(t, 51, Alive{6, 7, 8, 9, 10, 11}.Sum())
}
