package syncer

import (
	"fmt"
	"strconv"
	"time"

	fastjson "github.com/go-json-experiment/json/v1"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/erpconnector/erpconnector/services/syncer/internal/erphttp"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/kafka/txn"
)

// task is one chain record on its way to its outcome.
type task struct {
	*txn.Task

	class class
	key   string
	shop  string
	trace string
	value event.Sync

	lookup      domain.LookupResult // what the ERP said of an order in doubt; empty: it was not asked yet
	lookupReply erphttp.Reply       // with lookup: the whole answer
	postponed   *domain.Sync        // the record waits for another look-up, as the ERP has not answered

	outcome    *outcome        // of the call, or of a look-up that found the order; nil else
	records    []event.Record  // to write; none for a record that is passed over
	deadLetter *kgo.Record     // to write too; nil for most
	ends       []GenerationEnd // generations to close the gates of
	queued     bool            // its order is busy until the task has ended
}

// newTask makes a task of a record. With an error the record cannot be decoded.
func newTask(t *txn.Task, c class, record event.View) (*task, error) {
	value, err := decode(record)
	key := string(record.Key)
	own := &task{Task: t, class: c, key: key, shop: domain.SourceOfKey(key), trace: record.Traceparent(), value: value}
	t.Work = own
	return own, err
}

// decode decodes a record and checks that its key is that of its order.
func decode(record event.View) (event.Sync, error) {
	v, err := record.Sync()
	if err != nil {
		return event.Sync{}, err
	}
	if key := v.Sync.Ref().Key(); key != string(record.Key) {
		return event.Sync{}, fmt.Errorf("the record's key %s is not that of its order, %s", strconv.Quote(string(record.Key)), key)
	}
	return v, nil
}

// isHeld reports whether this is a request that waits for the cron, or for the connector to be turned on.
func (t *task) isHeld() bool { return t.value.Sync.Released != nil && !*t.value.Sync.Released }

// kafkaRecords returns the records to write.
func (t *task) kafkaRecords(cfg kafka.Config) (out []*kgo.Record) {
	for _, r := range t.records {
		out = append(out, cfg.Record(r))
	}
	if t.deadLetter != nil {
		out = append(out, t.deadLetter)
	}
	return out
}

// payload builds the bytes for the ERP from the generation's snapshot.
func (t *task) payload() ([]byte, error) {
	var order domain.Order
	if err := fastjson.Unmarshal(t.value.Order, &order); err != nil {
		return nil, err
	}
	return domain.BuildPayload(t.value.Sync.Ref(), order)
}

// close ends the task without a call, with the terminal event alone.
func (t *task) close(terminal domain.Sync, errorText string, now time.Time) error {
	v := event.Sync{Sync: terminal, Order: t.value.Order, Error: text(errorText)}
	r, err := event.NewSync(topicOf(terminal.Status), v, t.context(now))
	t.records = []event.Record{r}
	t.end(terminal, false)
	return err
}

// giveUp ends the task, as its time is over.
func (t *task) giveUp(terminal domain.Sync, policy domain.RetryPolicy, last string, now time.Time) error {
	return t.close(terminal, giveUpText(policy, last), now)
}

// giveUpText says why nothing more is tried, and what the last attempt came to.
func giveUpText(policy domain.RetryPolicy, last string) string {
	said := fmt.Sprintf("no further attempt begins, as retry_give_up_after (%s) is over by then; resync the order once the ERP is back", policy.GiveUpAfter)
	if last != "" {
		said += ". The last attempt: " + last
	}
	return domain.Truncate(said, domain.MaxErrorBytes)
}

// lastError is what the attempt before the record has come to.
func lastError(v event.Sync) string {
	if v.Error == nil {
		return ""
	}
	return *v.Error
}

// end notes that the generation ends with the task.
func (t *task) end(terminal domain.Sync, answered bool) {
	t.ends = []GenerationEnd{{Sync: terminal, By: terminal.EndedBy(), Answered: answered}}
}

// last returns the sync after the task: that of the terminal event, or that of after_send. It is nil when neither is written.
func (t *task) last() *domain.Sync {
	switch {
	case len(t.ends) > 0:
		return &t.ends[0].Sync
	case t.outcome != nil:
		return &t.outcome.After
	default:
		return nil
	}
}

func (t *task) context(at time.Time) event.Context {
	return event.Context{Traceparent: t.trace, At: at, OrderIsRead: true}
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
