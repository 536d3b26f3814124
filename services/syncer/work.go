package syncer

import (
	"encoding/json"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// work is one chain record on its way to its outcome.
type work struct {
	part   *partition
	record *kgo.Record
	class  class
	key    string
	trace  string
	value  event.Sync

	records  []event.Record // what the outcome writes; empty for a record that is passed over
	letter   *kgo.Record    // in place of records: the dead letter of a record that no retry mends
	decision *outcome       // set when the ERP was called
	endings  []Ending
	queued   bool // goes through the queue: its order is busy
}

// outcome is what a call came to, decided once, so that writing it again after a lost transaction says the same.
type outcome struct {
	domain.Decision
	at       time.Time
	took     time.Duration
	error    string
	answered bool // with success: the current key is used up
	response *event.Response
}

// finish reads the answer and decides what comes next.
func (w *work) finish(r erphttp.Reply, policy domain.RetryPolicy, now time.Time, random float64) {
	o := domain.Classify(r.Answer, policy.RetryableCodes, now)
	w.decision = &outcome{
		Decision: domain.Decide(w.value.Sync, o, policy, now, random),
		at:       now, error: o.Error, answered: o.Kind == domain.OutcomeSuccess,
	}
	if r.StatusCode != 0 {
		w.decision.response = &event.Response{
			Status: r.StatusCode, Headers: r.Headers, Body: domain.KeepableText(string(r.Body)), Truncated: r.Truncated,
		}
	}
}

// render is the records of the outcome under the gate's advice at the time of the commit: after_send, and the retry or
// the terminal event. A record that the gate stops ends here, whatever the answer was.
func (w *work) render(advice domain.Advice) error {
	o := w.decision
	terminal := o.Terminal
	if advice.Stop && !advice.Ended {
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
	w.records, w.endings = nil, nil
	if err := w.write(event.TopicAfterSend, after, o); err != nil {
		return err
	}
	if terminal == nil {
		retry := event.Sync{Sync: o.After, Order: w.value.Order, Error: text(o.error)}
		r, err := event.NewRetry(retry, *o.Retry, w.context(o.at))
		w.records = append(w.records, r)
		return err
	}
	w.end(*terminal, o.answered)
	return w.write(topicOf(terminal.Status), *terminal, o)
}

func (w *work) write(topic string, s domain.Sync, o *outcome) error {
	r, err := event.NewSync(topic, event.Sync{Sync: s, Order: w.value.Order, Response: o.response, Error: text(o.error)}, w.context(o.at))
	w.records = append(w.records, r)
	return err
}

// close ends the work without a call, by the terminal event alone.
func (w *work) close(terminal domain.Sync, errorText string, now time.Time) error {
	v := event.Sync{Sync: terminal, Order: w.value.Order, Error: text(errorText)}
	r, err := event.NewSync(topicOf(terminal.Status), v, w.context(now))
	w.records = []event.Record{r}
	w.end(terminal, false)
	return err
}

func (w *work) end(terminal domain.Sync, answered bool) {
	w.endings = []Ending{{Sync: terminal, By: terminal.EndedBy(), Answered: answered}}
}

// last is the sync as the outcome leaves it: of the terminal event, else of after_send; nil when nothing was written.
func (w *work) last() *domain.Sync {
	switch {
	case len(w.endings) > 0:
		return &w.endings[0].Sync
	case w.decision != nil:
		return &w.decision.After
	default:
		return nil
	}
}

func (w *work) context(at time.Time) event.Context {
	return event.Context{Traceparent: w.trace, At: at}
}

// payload builds the bytes for the ERP from the snapshot of the generation.
func (w *work) payload() ([]byte, error) {
	var order domain.Order
	if err := json.Unmarshal(w.value.Order, &order); err != nil {
		return nil, err
	}
	return domain.BuildPayload(w.value.Sync.Ref(), order)
}

func topicOf(s domain.Status) string {
	if s == domain.Success {
		return event.TopicSuccess
	}
	return event.TopicFailed
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// dead replaces the outcome by a dead letter: no retry mends what is wrong with the record. The letter says what that
// is; the log does not, as the words may quote the record.
func (s *Syncer) dead(w *work, err error) {
	w.decision, w.records, w.endings = nil, nil, nil
	w.letter = deadletter.Record(s.cfg, w.record, err.Error())
	s.log.Error("record cannot be handled; it goes to the dead letters", "topic", w.record.Topic,
		"partition", w.record.Partition, "offset", w.record.Offset)
}
