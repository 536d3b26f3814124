package syncer

import (
	"time"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// outcome is what a call came to, decided once, so that writing it again after a lost transaction says the same.
type outcome struct {
	domain.Decision

	at       time.Time
	took     time.Duration
	error    string
	warning  string // of a success: why the ERP's number is not known
	answered bool   // with success: the current key is used up
	response *event.Response
}

// decide reads the answer and decides what comes next. A former owner of the partition may have called already: then the key
// counts as one that was sent before.
func (t *task) decide(r erphttp.Reply, policy domain.RetryPolicy, now time.Time, random float64) {
	o := domain.Classify(r.Answer, policy.AnswerPolicy, t.value.Sync.KeySentBefore() || t.MayBeRepeated(), now)
	t.outcome = &outcome{
		Decision: domain.Decide(t.value.Sync, o, policy, now, random),
		at:       now, error: o.Error, warning: o.Warning, answered: o.Kind == domain.OutcomeSuccess,
	}
	if r.StatusCode != 0 {
		t.outcome.response = &event.Response{
			Status: r.StatusCode, Headers: r.Headers, Body: domain.KeepableText(string(r.Body.Start)), Truncated: r.Body.More,
			Reference: o.Reference,
		}
	}
}

// render makes the records of the outcome under the gate's advice at the time of the commit: after_send, and the retry or
// the terminal event. A task that the gate stops ends here, whatever the answer was; unless it was a dead letter that closed the
// gate: nobody has decided about the order, and what the ERP answered is what came of it.
func (t *task) render(advice domain.Advice) error {
	o := t.outcome
	terminal := o.Terminal
	if advice.Stop && !advice.Ended && advice.ClosedBy != domain.ClosedByDeadLetter {
		closed := domain.Closed(o.After, advice.ClosedBy, o.at)
		if o.Terminal != nil && closed.Status == domain.Success {
			closed.ErpReference = o.Terminal.ErpReference
		}
		terminal = &closed
	}
	after := o.After
	if terminal != nil && o.Retry != nil {
		after.Status, after.NextAttemptAt = domain.InProgress, nil
	}
	t.records, t.ends = nil, nil
	if err := t.write(event.TopicAfterSend, after, o); err != nil {
		return err
	}
	if terminal == nil {
		retry := event.Sync{Sync: o.After, Order: t.value.Order, Error: text(o.error)}
		r, err := event.NewRetry(retry, *o.Retry, t.context(o.at))
		t.records = append(t.records, r)
		return err
	}
	t.end(*terminal, o.answered)
	return t.write(topicOf(terminal.Status), *terminal, o)
}

func (t *task) write(topic string, s domain.Sync, o *outcome) error {
	r, err := event.NewSync(topic, event.Sync{Sync: s, Order: t.value.Order, Response: o.response, Error: text(o.error)}, t.context(o.at))
	t.records = append(t.records, r)
	return err
}
