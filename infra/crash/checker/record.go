package checker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// The topics, without prefix.
const (
	topicEvent      = "sales_order_event"
	topicRequested  = "vendor_erp_sync_requested"
	topicCallback   = "vendor_erp_sync_callback"
	topicBefore     = "vendor_erp_sync_before_send"
	topicAfter      = "vendor_erp_sync_after_send"
	topicSuccess    = "vendor_erp_sync_success"
	topicFailed     = "vendor_erp_sync_failed"
	topicRetry      = "vendor_erp_sync_retry" // the type of parked retries, and how the topics of the retry tiers begin
	topicDue        = "vendor_erp_sync_due"
	topicDeadLetter = "vendor_erp_sync_dead_letter"
	topicPosition   = "vendor_erp_sync_position"
)

// relayed reports whether only the relay writes the topic.
func relayed(topic string) bool {
	return topic == topicEvent || topic == topicRequested || topic == topicCallback
}

// isRetryTopic reports whether the topic is a retry tier or the due topic.
func isRetryTopic(topic string) bool {
	return topic == topicDue || strings.HasPrefix(topic, topicRetry+"_")
}

// version is generation<<28 | class<<24 | number. The product orders the facts of a sync by it.
type version int64

// The classes of a version, and the phases in an attempt.
const (
	classRequest  = 0
	classAttempt  = 1
	classCallback = 2

	phaseBefore   = 1
	phaseAfter    = 2
	phaseTerminal = 3
)

func (v version) generation() int { return int(v >> 28) }
func (v version) class() int      { return int(v >> 24 & 15) }
func (v version) number() int     { return int(v & (1<<24 - 1)) }
func (v version) phase() int      { return v.number() & 7 }

// attempt returns the attempt of a fact of class 1; other facts have none.
func (v version) attempt() int {
	if v.class() != classAttempt {
		return 0
	}
	return v.number() >> 3
}

// syncState is the part of a record's `sync` that the rules use.
type syncState struct {
	SyncID         int64      `json:"sync_id"`
	Source         string     `json:"source"`
	OrderID        *int64     `json:"order_id"`
	Order          string     `json:"order_increment_id"`
	Status         string     `json:"status"`
	Attempts       int        `json:"attempts"`
	MaxAttempts    int        `json:"max_attempts"`
	LastAttemptAt  *time.Time `json:"last_attempt_at"`
	NextAttemptAt  *time.Time `json:"next_attempt_at"`
	Reference      *string    `json:"erp_reference"`
	IdempotencyKey string     `json:"idempotency_key"`
	Generation     int        `json:"generation"`
	Version        version    `json:"version"`
	Released       *bool      `json:"released"`
	Cause          string     `json:"cause"`
	ClosedBy       string     `json:"closed_by"`
	ErrorCode      string     `json:"error_code"`
	Lookup         string     `json:"lookup"`
}

// response is the ERP's answer, or a callback's body.
type response struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// header returns a header's value. The case of its name does not matter.
func (r *response) header(name string) string {
	for n, v := range r.Headers {
		if strings.EqualFold(n, name) {
			return v
		}
	}
	return ""
}

// fact is a record that could be read.
type fact struct {
	*history.Record
	id        string    // ce_id
	kind      string    // ce_type
	uuid      string    // Watermill's
	at        time.Time // ce_time
	corrected time.Time // at, by the right clock
	due       time.Time // retries only

	// Of records about a sync; a sales_order_event has none of it.
	sync     syncState
	payload  *string
	response *response
	err      *string
}

// where returns the record's topic, partition and offset for a report.
func (f *fact) where() string {
	return fmt.Sprintf("%s %d@%d", shortTopic(f.Topic), f.Partition, f.Offset)
}

// settlesNothing reports whether the record is a callback that settles nothing and is only for the timeline.
func (f *fact) settlesNothing() bool {
	return f.Topic == topicCallback && f.sync.Version.class() == classRequest
}

// postponed reports whether the record waits for the ERP to say whether it has the order: no attempt was made since the record before.
func (f *fact) postponed() bool { return isRetryTopic(f.Topic) && f.sync.ErrorCode == "erp_in_doubt" }

// status returns the answer's HTTP status, 0 when there was none.
func (f *fact) status() int {
	if f.response == nil {
		return 0
	}
	return f.response.Status
}

// answeredWithSuccess reports whether the record is an outcome with a 2xx answer.
func (f *fact) answeredWithSuccess() bool {
	return f.Topic == topicAfter && f.status() >= 200 && f.status() <= 299
}

func shortTopic(topic string) string { return strings.TrimPrefix(topic, "vendor_erp_sync_") }

// correctTime returns the time of a fact by the right clock. The process that wrote it may have had a clock that was set
// back; the broker's timestamp shows it.
func (c *checker) correctTime(f *fact) time.Time {
	for _, d := range c.h.Disturbances {
		off := f.Timestamp.Sub(f.at) > d.ClockStep-time.Second
		if d.ClockStep > 0 && off && f.Timestamp.After(d.At) && (d.ClockRestored.IsZero() || f.Timestamp.Before(d.ClockRestored.Add(resumeDelay))) {
			return f.at.Add(d.ClockStep)
		}
	}
	return f.at
}

// read decodes a record. Its error says what is wrong with it.
func read(r *history.Record) (*fact, error) {
	f := &fact{Record: r, id: r.Headers["ce_id"], kind: r.Headers["ce_type"], uuid: r.Headers["_watermill_message_uuid"]}
	var err error
	if f.at, err = time.Parse(time.RFC3339Nano, r.Headers["ce_time"]); err != nil {
		return nil, fmt.Errorf("header ce_time: %w", err)
	}
	switch {
	case f.id == "":
		return nil, errors.New("header ce_id is missing")
	case f.uuid == "":
		return nil, errors.New("the message's uuid is missing")
	case r.Headers["ce_subject"] != r.Key:
		return nil, fmt.Errorf("ce_subject %q is not the record's key %q", r.Headers["ce_subject"], r.Key)
	case r.Topic == topicEvent:
		return f, readEvent(r)
	}
	if isRetryTopic(r.Topic) {
		ms, err := strconv.ParseInt(r.Headers["due"], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("header due: %w", err)
		}
		f.due = time.UnixMilli(ms).UTC()
	}
	return f, f.readSync()
}

// readEvent checks that header and value name the same event.
func readEvent(r *history.Record) error {
	var v struct {
		EventID string `json:"event_id"`
	}
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return fmt.Errorf("decoding the value: %w", err)
	}
	if _, id, _ := strings.Cut(r.Headers["ce_id"], ":"); id != v.EventID {
		return fmt.Errorf("event_id %q is not that of ce_id %q", v.EventID, r.Headers["ce_id"])
	}
	return nil
}

// readSync decodes a record about a sync, and checks that key, ids and type match its content.
func (f *fact) readSync() error {
	var v struct {
		Sync     syncState `json:"sync"`
		Payload  *string   `json:"payload"`
		Response *response `json:"response"`
		Error    *string   `json:"error"`
	}
	if err := json.Unmarshal(f.Value, &v); err != nil {
		return fmt.Errorf("decoding the value: %w", err)
	}
	f.sync, f.payload, f.response, f.err = v.Sync, v.Payload, v.Response, v.Error
	s := f.sync
	if key := orderKey(s.Source, s.Order); key != f.Key {
		return fmt.Errorf("the record's key %q is not that of its order, %q", f.Key, key)
	}
	if s.SyncID <= 0 || s.Generation <= 0 || s.Version.generation() != s.Generation {
		return fmt.Errorf("sync %d, generation %d and version %d do not fit", s.SyncID, s.Generation, s.Version)
	}
	kind := f.Topic
	if isRetryTopic(f.Topic) {
		kind = topicRetry
	}
	id := fmt.Sprintf("%s/%d/%s", f.Key, s.Version, kind)
	named := f.id == id || (f.settlesNothing() && strings.HasPrefix(f.id, id+"/")) // a note's ends with a hash of what was said
	if f.kind != kind || !named {
		return fmt.Errorf("ce_id %q and ce_type %q: expected %q and %q", f.id, f.kind, id, kind)
	}
	return f.readVersion()
}

// readVersion checks that version, attempts and topic match.
func (f *fact) readVersion() error {
	v, attempts := f.sync.Version, f.sync.Attempts
	ok := false
	switch {
	case f.Topic == topicRequested:
		ok = v.class() == classRequest && attempts == 0 && f.sync.Released != nil
	case f.Topic == topicCallback:
		ok = v.class() == classCallback || f.settlesNothing()
	case f.Topic == topicBefore:
		ok = v.class() == classAttempt && v.phase() == phaseBefore && attempts == v.attempt()-1
	case f.postponed() && v.class() == classRequest:
		ok = attempts == 0
	case f.Topic == topicAfter, isRetryTopic(f.Topic):
		ok = v.class() == classAttempt && v.phase() == phaseAfter && attempts == v.attempt()
	case f.Topic == topicSuccess, f.Topic == topicFailed:
		uncalled := f.sync.ErrorCode == "given_up" && attempts == v.attempt()-1 // the next attempt may have been announced
		ok = v.class() == classAttempt && v.phase() == phaseTerminal && (attempts == v.attempt() || uncalled)
	}
	if !ok {
		return fmt.Errorf("version %d (class %d, number %d) and %d attempts do not fit the topic", v, v.class(), v.number(), attempts)
	}
	return nil
}

// readRecords decodes every record and gives it to its order. A record that cannot be decoded is a violation, and so is
// every dead letter: the workload publishes nothing that deserves one.
func (c *checker) readRecords() {
	for i := range c.h.Records {
		r := &c.h.Records[i]
		switch r.Topic {
		case topicPosition:
			continue
		case topicDeadLetter:
			c.violate(10, "a dead letter", nil, "%d@%d: %s %s@%s: %s", r.Partition, r.Offset, r.Headers["dead_letter_topic"],
				r.Headers["dead_letter_partition"], r.Headers["dead_letter_offset"], r.Headers["dead_letter_reason"])
			continue
		}
		f, err := read(r)
		if err != nil {
			c.violate(10, "a record that cannot be read", c.orders[r.Key], "%s %d@%d: %s", r.Topic, r.Partition, r.Offset, err)
			continue
		}
		f.corrected = c.correctTime(f)
		c.facts = append(c.facts, f)
		c.order(f.Key).add(f)
	}
}
