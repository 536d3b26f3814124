package syncer

import (
	"log/slog"
	"time"

	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// deadLetters end tasks that no retry mends. A letter says what is wrong with the record; the log does not, as the words may
// quote it.
type deadLetters struct {
	cfg kafka.Config
	log *slog.Logger
	now func() time.Time
}

// unreadable ends a record that cannot be decoded: which order it is of is not known for sure, so its letter is all there is.
func (d *deadLetters) unreadable(t *task, err error) {
	t.outcome, t.records, t.ends = nil, nil, nil
	t.deadLetter = deadletter.Record(d.cfg, t.Record, deadletter.Cause{By: deadletter.BySyncer, Reason: err.Error()})
	d.tell(t)
}

// unless refuses the task if there is an error.
func (d *deadLetters) unless(t *task, err error) {
	if err != nil {
		d.refuse(t, err, 1)
	}
}

// refuse ends a task of which the records cannot be written as they should be, for what they are: too large, as a rule. Its
// generation ends all the same, with the little that is sure to be taken: the facts without the order and the answer's body,
// and, where the ERP has not had the last word, as failed, so that the order can be sent again. The second time the letter
// only names the record that it is about.
func (d *deadLetters) refuse(t *task, err error, times int) {
	now := d.now()
	o := t.outcome
	t.outcome, t.records, t.ends, t.deadLetter = nil, nil, nil, nil
	terminal := domain.Refused(t.value.Sync, now)
	answered := false
	if o != nil {
		after := o.After
		after.Status, after.NextAttemptAt = domain.InProgress, nil // no retry follows, whatever was decided
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
	d.tell(t)
}

// fact is a record with the sync alone. One that cannot even be encoded is left out.
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

func (d *deadLetters) tell(t *task) {
	d.log.Error("record cannot be handled; it goes to the dead letters", "topic", t.Record.Topic,
		"partition", t.Record.Partition, "offset", t.Record.Offset)
}
