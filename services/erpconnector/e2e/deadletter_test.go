package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/audit"
	"github.com/erpconnector/erpconnector/services/mockerp"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// spoiler is a product whose records can be spoiled while some of its services do not run.
type spoiler struct{ *planter }

func onSpoilers(t *testing.T, story func(p spoiler)) {
	t.Helper()
	testkit.OnEmbeddedFirst(t, func(t *testing.T, brokers kafka.Config) {
		client, err := kgo.NewClient(brokers.Options()...)
		require.NoError(t, err)
		t.Cleanup(client.Close)
		story(spoiler{&planter{newProduct(t, brokers), client, kadm.NewClient(client), map[string][]audit.Kind{}}})
	})
}

// spoilRequests publishes invoices whose requests go to Kafka with a value that nobody can read.
func (p spoiler) spoilRequests(orders ...string) {
	p.t.Helper()
	stop := p.only("ingest")
	for _, order := range orders {
		status, answer := p.publish(invoice("e"+order, order))
		require.Equal(p.t, http.StatusAccepted, status, "%v", answer)
		p.sql(`UPDATE erp_outbox SET payload = '{"sync": Zoë' WHERE topic = 'vendor_erp_sync_requested' AND key = '` + order + `'`)
	}
	stop()
}

// skip moves a group, none of which runs, over a record, as if it had been consumed.
func (p spoiler) skip(group event.Group, r *kgo.Record) {
	p.t.Helper()
	over := kadm.Offsets{}
	over.AddOffset(r.Topic, r.Partition, r.Offset+1, -1)
	require.NoError(p.t, p.admin.CommitAllOffsets(p.t.Context(), p.cfg.TopicPrefix+string(group), over))
}

// spoilRetry parks an order's retry for so long, and puts a spoiled one in its place.
func (p spoiler) spoilRetry(order, topic, retryAfter string, spoil func(r *kgo.Record)) {
	p.t.Helper()
	stop := p.only("ingest", "relay", "syncer", "projector", "api", "mockerp")
	p.fail(mockerp.Fault{Order: order, Status: http.StatusInternalServerError, RetryAfter: retryAfter, Times: 1})
	p.publish(invoice("e"+order, order))
	p.becomes(order, func(s map[string]any) bool { return s["attempts"] == 1.0 && s["next_attempt_at"] != nil })
	stop()
	p.skip(event.GroupDelayer, p.last(topic, order))
	p.repeat(topic, topic, order, spoil)
}

// setAside makes a dead letter of an order's request, which a mended program could read.
func (p spoiler) setAside(order string) {
	p.t.Helper()
	stop := p.only("ingest", "relay")
	p.publish(invoice("e"+order, order))
	request := p.last(event.TopicRequested, order)
	stop()
	letter := deadletter.Record(kafka.Config{Prefix: p.cfg.TopicPrefix}, request, deadletter.Cause{By: deadletter.BySyncer, Reason: "an older program"})
	require.NoError(p.t, p.client.ProduceSync(p.t.Context(), letter).FirstErr())
	p.skip(event.GroupSyncer, request)
}

// stopped waits until the order's status says what became of it.
func (p spoiler) stopped(order string) {
	p.t.Helper()
	p.becomes(order, failedWith("stands among the dead letters: resync-order sends the order again"))
}

// deadLetters lists those of an order, the oldest first.
func (p spoiler) deadLetters(order, state string) (out []map[string]any) {
	p.t.Helper()
	status, page := p.do(http.MethodGet, httpapi.BasePath+"/dead-letters?state="+state+"&order="+order, nil)
	require.Equal(p.t, http.StatusOK, status, "%v", page)
	for _, l := range page["dead_letters"].([]any) { //nolint:forcetypeassert // a test
		out = append(out, l.(map[string]any)) //nolint:forcetypeassert // a test
	}
	return out
}

func (p spoiler) decide(letter map[string]any, what string) (int, map[string]any) {
	p.t.Helper()
	return p.do(http.MethodPost, fmt.Sprintf("%s/dead-letters/%v/%s", httpapi.BasePath, letter["id"], what), map[string]any{"reason": "a test"})
}

// tableIsLog folds the log anew and compares.
func (p spoiler) tableIsLog() {
	p.t.Helper()
	out, err := p.command("verify")
	require.NoError(p.t, err, out)
}

// A dead-lettered order used to stay queued for ever: a resync answered "under way", a cancel 409 order_queued.
func TestADeadLetteredOrderHasFailedAndEveryRequestWorks(t *testing.T) {
	t.Parallel()
	onSpoilers(t, func(p spoiler) {
		why := map[string]any{"reason": "why"}
		p.spoilRequests("resync", "new-key", "settle", "webhook", "again")
		p.spoilRetry("parked", "vendor_erp_sync_retry_1024s", "3600", func(r *kgo.Record) {
			for i := range r.Headers {
				if r.Headers[i].Key == event.HeaderDue {
					r.Headers[i].Value = []byte("soon")
				}
			}
		})
		p.spoilRetry("due", "vendor_erp_sync_retry_1s", "2", func(r *kgo.Record) { r.Value = []byte("spoiled") })
		p.everything()
		for _, order := range []string{"resync", "new-key", "settle", "webhook", "again", "parked", "due"} {
			p.stopped(order)
		}
		for order, from := range map[string]string{"resync": "syncer vendor_erp_sync_requested", "parked": "delayer vendor_erp_sync_retry_1024s", "due": "syncer vendor_erp_sync_due"} {
			var stopping []map[string]any
			for _, l := range p.deadLetters(order, "open") {
				if l["stopped_generation"] != nil {
					stopping = append(stopping, l)
				}
			}
			require.Len(p.t, stopping, 1, order)
			require.Equal(p.t, from, fmt.Sprint(stopping[0]["written_by"], " ", stopping[0]["topic"]))
		}
		require.Len(p.t, p.deadLetters("resync", "open"), 2, "the projector could not read the request either")
		p.tableIsLog()
		p.conserved()

		for _, order := range []string{"resync", "parked", "due"} {
			status, answer := p.order("sync-order", order, nil)
			require.Equal(p.t, http.StatusOK, status, "%v", answer)
			require.Equal(p.t, "failed", answer["status"])
			require.Contains(p.t, answer["last_error"], "dead letters")
			status, answer = p.order("cancel-order", order, why)
			require.Equal(p.t, "409 order_failed", fmt.Sprint(status, " ", answer["code"]))
			status, answer = p.order("send-order-now", order, why)
			require.Equal(p.t, "409 order_failed", fmt.Sprint(status, " ", answer["code"]))
			status, answer = p.order("resync-order", order, nil)
			require.Equal(p.t, "200 success", fmt.Sprint(status, " ", answer["status"]), "%v", answer)
			require.InDelta(p.t, 2, answer["generation"], 0)
		}
		key := p.becomes("new-key", stands("failed"))
		_, answer := p.order("resync-order", "new-key", map[string]any{"newKey": true, "reason": "why"})
		require.Equal(p.t, "success", answer["status"], "%v after %v", answer, key)
		_, answer = p.order("settle-order", "settle", map[string]any{"reason": "why", "erpReference": "ERP-9"})
		require.Equal(p.t, "success", answer["status"], "%v", answer)
		status, _ := p.accepts("webhook", "ERP-7")
		require.Equal(p.t, http.StatusOK, status)
		require.Equal(p.t, "ERP-7", p.becomes("webhook", stands("success"))["erp_reference"])
		require.Empty(p.t, p.calls("settle"))
		require.Empty(p.t, p.calls("webhook"))

		// Two dead letters of one order: what still cannot be read comes back.
		first := p.stopping("again")
		status, answer = p.decide(first, "redrive")
		require.Equal(p.t, http.StatusAccepted, status, "%v", answer)
		testkit.Eventually(p.t, func() bool { return p.stopping("again")["id"] != first["id"] }, "the record sent back is not a dead letter again")
		p.stopped("again")
		require.Equal(p.t, "redriven", p.deadLetters("again", "redriven")[0]["state"])
		status, answer = p.decide(first, "redrive")
		require.Equal(p.t, "409 dead_letter_refused", fmt.Sprint(status, " ", answer["code"]))
		require.Contains(p.t, answer["detail"], "was redriven by api")
		_, answer = p.order("resync-order", "again", nil)
		require.Equal(p.t, "success", answer["status"], "%v", answer)
		for _, order := range []string{"resync", "new-key", "settle", "webhook", "again", "parked", "due"} {
			for _, l := range p.deadLetters(order, "open") {
				require.Equal(p.t, "projector", l["written_by"], "what was asked of the order has settled its letter: %v", l)
			}
		}
		p.tableIsLog()
		p.conserved()
	})
}

// stopping is the open dead letter that has stopped the order.
func (p spoiler) stopping(order string) map[string]any {
	p.t.Helper()
	for _, l := range p.deadLetters(order, "open") {
		if l["stopped_generation"] != nil {
			return l
		}
	}
	return nil
}

func TestARecordIsRedrivenOnceTheCauseIsGone(t *testing.T) {
	t.Parallel()
	onSpoilers(t, func(p spoiler) {
		p.setAside("mended")
		p.setAside("resynced")
		p.setAside("gone")
		p.everything()
		for _, order := range []string{"mended", "resynced", "gone"} {
			p.stopped(order)
		}
		mended, resynced, gone := p.stopping("mended"), p.stopping("resynced"), p.stopping("gone")
		_, answer := p.order("resync-order", "resynced", nil)
		require.Equal(p.t, "success", answer["status"], "%v", answer)
		status, answer := p.decide(resynced, "redrive")
		require.Equal(p.t, "409 dead_letter_refused", fmt.Sprint(status, " ", answer["code"]), "its order was sent meanwhile")

		out, err := p.command("deadletter", "list")
		require.NoError(p.t, err)
		require.Regexp(p.t, fmt.Sprintf(`(?m)^%v +open +\S+ \S+ +syncer +mended +generation 1 +vendor_erp_sync_requested/\d+@\d+ +an older program$`, mended["id"]), out)
		out, err = p.command("deadletter", "show", fmt.Sprint(mended["id"]))
		require.NoError(p.t, err)
		require.Contains(p.t, out, `"order_increment_id": "mended"`, "the record itself")
		require.Contains(p.t, out, "ce_id: mended/")
		_, err = p.command("deadletter", "redrive", fmt.Sprint(mended["id"]))
		require.ErrorContains(p.t, err, "--reason")
		_, err = p.command("deadletter", "redrive", "--reason", "why")
		require.ErrorContains(p.t, err, "name dead letters by their ids, or select them")
		_, err = p.command("deadletter", "redrive", "--source", "", "--order", "mended", "--reason", "why")
		require.ErrorContains(p.t, err, "--source is empty")
		out, err = p.command("deadletter", "redrive", "--cause", "OLDER", "--order", "mended", "--dry-run")
		require.NoError(p.t, err)
		require.Regexp(p.t, fmt.Sprintf(`(?m)^%v  mended  its record would be sent back$`, mended["id"]), out)
		require.Contains(p.t, out, "1 of the 1 selected: its record would be sent back; 0 refused")
		out, err = p.command("deadletter", "redrive", fmt.Sprint(mended["id"]), "--reason", "the program was mended")
		require.NoError(p.t, err)
		require.Equal(p.t, fmt.Sprintf("%v  its record was sent back\n", mended["id"]), out)
		require.InDelta(p.t, 1, p.becomes("mended", ended("success"))["attempts"], 0)
		require.Len(p.t, p.calls("mended"), 1)

		status, answer = p.decide(gone, "discard")
		require.Equal(p.t, http.StatusOK, status, "%v", answer)
		require.Equal(p.t, "discarded api a test", fmt.Sprint(answer["state"], " ", answer["decided_by"], " ", answer["decision"]))
		p.stopped("gone")
		status, answer = p.decide(gone, "redrive")
		require.Equal(p.t, http.StatusConflict, status)
		require.Contains(p.t, answer["detail"], "was discarded by api")
		out, err = p.command("deadletter", "list")
		require.NoError(p.t, err)
		require.Equal(p.t, "there are no such dead letters\n", out)

		redriven := regexp.MustCompile(fmt.Sprintf(`redrive of dead letter %v by \S+: the program was mended`, mended["id"]))
		said := p.audit().redrives
		require.Len(p.t, said, 1)
		require.Regexp(p.t, redriven, said[0])
		out, err = p.command("audit")
		require.NoError(p.t, err)
		require.Regexp(p.t, redriven, out)
		out, err = p.command("replay", "--order", "mended", "--json")
		require.NoError(p.t, err)
		require.Regexp(p.t, redriven, out)

		log := (&crashCase{p: p.product}).log(p.t)
		requireOneEndOfEachGeneration(p.t, "mended", log["mended"])
		var timeline []string
		_, page := p.do(http.MethodGet, httpapi.BasePath+"/timeline/mended", nil)
		for _, e := range page["events"].([]any) { //nolint:forcetypeassert // a test
			fact := e.(map[string]any) //nolint:forcetypeassert // a test
			timeline = append(timeline, strings.TrimPrefix(fmt.Sprint(fact["type"], " ", fact["status"]), "vendor_erp_sync_"))
		}
		require.Equal(p.t, []string{"requested queued", "requested queued", "callback failed", "callback queued", "before_send in_progress", "after_send in_progress", "success success"}, timeline)
		p.tableIsLog()
		p.conserved()
	})
}

func TestDeadLettersThatAreNotRedriven(t *testing.T) {
	t.Parallel()
	onSpoilers(t, func(p spoiler) {
		p.everything()
		p.succeeds("1")
		r := p.last(event.TopicSuccess, "1")
		spoiled := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: []byte("\x1b[2J spoiled"), Headers: r.Headers}
		require.NoError(p.t, p.client.ProduceSync(p.t.Context(), spoiled).FirstErr())
		garbage := &kgo.Record{Topic: p.cfg.TopicPrefix + event.TopicRequested, Key: []byte("1"), Value: []byte("garbage")}
		require.NoError(p.t, p.client.ProduceSync(p.t.Context(), garbage).FirstErr())
		testkit.Eventually(p.t, func() bool { return len(p.deadLetters("1", "open")) == 3 }, "the letters of the order are not three")
		for _, l := range p.deadLetters("1", "open") {
			require.Nil(p.t, l["stopped_generation"])
			status, answer := p.decide(l, "redrive")
			require.Equal(p.t, "409 dead_letter_refused", fmt.Sprint(status, " ", answer["code"]))
			want := "erpconnector rebuild"
			if l["written_by"] == "syncer" {
				want = "has stopped no order"
			}
			require.Contains(p.t, answer["detail"], want)
			if l["topic"] == event.TopicSuccess {
				out, err := p.command("deadletter", "show", fmt.Sprint(l["id"]))
				require.NoError(p.t, err)
				require.Contains(p.t, out, `\x1b[2J spoiled`)
				require.NotContains(p.t, out, "\x1b")
				out, err = p.command("deadletter", "show", "--value", fmt.Sprint(l["id"]))
				require.NoError(p.t, err)
				require.Equal(p.t, "\x1b[2J spoiled", out)
			}
		}
		p.becomes("1", stands("success"))

		p.sql(`DELETE FROM erp_dead_letter WHERE id = (SELECT min(id) FROM erp_dead_letter); UPDATE erp_dead_letter SET bytes = 4711, state = 'discarded', decided_at = now()
			WHERE id = (SELECT max(id) FROM erp_dead_letter); INSERT INTO erp_dead_letter (id, written_at, written_by, topic, partition, "offset", order_key, ce_id, bytes, reason, ended, judged)
			VALUES (4712, now(), '', '', 0, 0, '', '', 0, '', false, true)`)
		out, err := p.command("verify")
		require.Error(p.t, err)
		require.Regexp(p.t, `(?m)^dead letter vendor_erp_sync_dead_letter/0@\d+: bytes: live 4711, log \d+$`, out)
		require.Regexp(p.t, `(?m)^dead letter vendor_erp_sync_dead_letter/0@\d+: only in the log$`, out)
		require.Contains(p.t, out, "dead letter vendor_erp_sync_dead_letter/0@4712: only in the table of dead letters\n")
		require.Contains(p.t, out, "4 dead letters compared: 1 differ, 1 only in the table, 1 only in the log\n")
		p.sql(`DELETE FROM erp_dead_letter WHERE id = 4712`)
		out, err = p.command("rebuild")
		require.NoError(p.t, err, out)
		require.Contains(p.t, out, "the table of dead letters, likewise: 1 were corrected, 1 added; 0 that the topic does not hold stay\n")
		require.Len(p.t, p.deadLetters("1", "discarded"), 1, "what was decided stays")
		p.tableIsLog()
	})
}

// docs/states.md needs no column for it: a dead-lettered order is a failed one.
func TestADeadLetteredOrderAnswersLikeAFailedOne(t *testing.T) {
	t.Parallel()
	s := startStates(t, func(*setting.Settings) {})
	for _, r := range stateRequests {
		t.Run(r.name, func(t *testing.T) {
			require.Equal(t, s.cell(t, r.ask, domain.StateFailed), s.cell(t, r.ask, "dead_lettered"))
		})
	}
}
