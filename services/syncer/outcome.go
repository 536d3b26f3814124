package syncer

import (
	"time"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// outcome is the result of a call. It is decided once, so that its records are the same when a failed transaction is
// repeated.
type outcome struct {
	domain.Decision

	at       time.Time
	took     time.Duration // of the call; 0: there was none
	error    string
	giveUp   string // the error of a terminal event that gives up
	warning  string // after a success: why the ERP's number of the order is not known
	answered bool   // the ERP has answered with success, so the next generation needs a new key
	response *event.Response
}

// decide reads the answer and decides what follows. A former owner of the partition may have called already, or the first call of this
// attempt was made again; then the key counts as sent before.
func (t *task) decide(r erphttp.Reply, policy domain.RetryPolicy, now time.Time, random float64) {
	o := domain.Classify(r.Answer, policy.AnswerPolicy, t.value.Sync.KeySentBefore() || t.MayBeRepeated() || r.SentBefore, now)
	if t.lookup.Lookup == domain.LookupNotFound {
		o.Lookup = t.lookup.Lookup
	}
	t.outcome = &outcome{
		Decision: domain.Decide(t.value.Sync, o, policy, now, random),
		at:       now, error: o.Error, warning: o.Warning, answered: o.Kind == domain.OutcomeSuccess,
	}
	if end := t.outcome.Terminal; end != nil && end.ErrorCode == domain.ErrorGivenUp {
		t.outcome.giveUp = giveUpText(policy, o.Error)
	}
	if r.StatusCode != 0 {
		t.outcome.response = responseOf(r, o.Reference)
	}
}

// responseOf is an answer of the ERP in the form of records.
func responseOf(r erphttp.Reply, reference *string) *event.Response {
	return &event.Response{
		Status: r.StatusCode, Headers: r.Headers, Body: domain.KeepableText(string(r.Body.Start)), Truncated: r.Body.More, Reference: reference,
	}
}

// render makes the records of the outcome: after_send, and the retry or the terminal event. It follows the gate's
// advice at the time of the commit. When the gate stops the generation, the gate decides how it ends, and not the
// answer. A gate that was closed by a dead letter is the exception: nobody has decided about the order, so the ERP's
// answer counts.
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
		after.Status, after.NextAttemptAt, after.RequestedAt = domain.InProgress, nil, nil
	}
	t.records, t.ends = nil, nil
	if err := t.write(event.TopicAfterSend, after, o, o.error); err != nil {
		return err
	}
	if terminal == nil {
		retry := event.Sync{Sync: o.After, Order: t.value.Order, Error: text(o.error)}
		r, err := event.NewRetry(retry, *o.Retry, t.context(o.at))
		t.records = append(t.records, r)
		return err
	}
	t.end(*terminal, o.answered)
	errorText := o.error
	if terminal.ErrorCode == domain.ErrorGivenUp {
		errorText = o.giveUp
	}
	return t.write(topicOf(terminal.Status), *terminal, o, errorText)
}

// write adds a record of the outcome.
func (t *task) write(topic string, s domain.Sync, o *outcome, errorText string) error {
	v := event.Sync{Sync: s, Order: t.value.Order, Response: o.response, Error: text(errorText)}
	if topic == event.TopicAfterSend && o.took > 0 {
		v.TookMS = new(o.took.Milliseconds())
	}
	r, err := event.NewSync(topic, v, t.context(o.at))
	t.records = append(t.records, r)
	return err
}
