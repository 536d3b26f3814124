package syncer

import (
	"log/slog"
	"time"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// deadLetters ends tasks that no retry can help. A dead letter says what is wrong with its record. The log does not, as
// the text may quote customers' data.
type deadLetters struct {
	cfg kafka.Config
	log *slog.Logger
	now func() time.Time
}

// unreadable ends a record that cannot be decoded. Its order is not known for sure, so it writes only the dead letter.
func (d *deadLetters) unreadable(t *task, err error) {
	t.outcome, t.records, t.ends = nil, nil, nil
	t.deadLetter = deadletter.Record(d.cfg, t.Record, deadletter.Cause{By: deadletter.BySyncer, Reason: err.Error()})
	d.logRefused(t)
}

// refuseOn refuses the task if there is an error.
func (d *deadLetters) refuseOn(t *task, err error) {
	if err != nil {
		d.refuse(t, err, 1)
	}
}

// refuse ends a task whose records cannot be written, as a rule because they are too large. The generation still ends,
// with records that are small enough: they lack the order and the answer's body. It ends as failed, so that the order
// can be sent again, unless the ERP's answer or the gate has decided already. After a second refusal the dead letter
// only names the record.
func (d *deadLetters) refuse(t *task, err error, times int) {
	now := d.now()
	o := t.outcome
	t.outcome, t.postponed, t.records, t.ends, t.deadLetter = nil, nil, nil, nil, nil
	terminal := domain.Refused(t.value.Sync, now)
	answered := false
	if o != nil {
		after := o.After
		after.Status, after.NextAttemptAt, after.RequestedAt = domain.InProgress, nil, nil // no retry follows, even if one was decided
		t.records = append(t.records, d.fact(t, event.TopicAfterSend, after, o.response, o.error)...)
		terminal, answered = domain.Refused(o.After, now), o.answered
		if o.Terminal != nil {
			terminal = *o.Terminal
		}
	}
	errorText := err.Error()
	if terminal.Status == domain.Success {
		errorText = ""
	}
	t.records = append(t.records, d.fact(t, topicOf(terminal.Status), terminal, nil, errorText)...)
	t.end(terminal, answered)
	if terminal.Status != domain.Success {
		cause := deadletter.Cause{By: deadletter.BySyncer, Reason: err.Error(), Ended: true}
		t.deadLetter = deadletter.Record(d.cfg, t.Record, cause)
		if times > 1 {
			t.deadLetter = deadletter.Reference(d.cfg, t.Record, cause)
		}
	}
	d.logRefused(t)
}

// fact returns a record with the sync alone. It returns none when even that cannot be encoded.
func (d *deadLetters) fact(t *task, topic string, s domain.Sync, response *event.Response, errorText string) []event.Record {
	v := event.Sync{Sync: s, Error: text(errorText)}
	if response != nil {
		v.Response = &event.Response{Status: response.Status, Truncated: true, Reference: response.Reference}
	}
	r, err := event.NewSync(topic, v, t.context(d.now()))
	if err != nil {
		return nil
	}
	return []event.Record{r}
}

// logRefused logs where the record is.
func (d *deadLetters) logRefused(t *task) {
	d.log.Error("record cannot be handled; it goes to the dead letters", "topic", t.Record.Topic,
		"partition", t.Record.Partition, "offset", t.Record.Offset)
}
