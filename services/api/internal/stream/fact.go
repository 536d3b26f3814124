package stream

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
)

// Fact is one record of the log about a sync, as it is sent. Order is the increment id, Type the topic without the prefix.
type Fact struct {
	Source string
	Order  string
	Type   string
	Status domain.Status
	Data   []byte // JSON

	partition int // its place among the session's partitions
	offset    int64
	moment    moment
}

// moment orders the facts of an order.
type moment struct {
	at      time.Time
	version domain.Version
}

func (m moment) compare(o moment) int {
	return cmp.Or(m.at.Compare(o.at), cmp.Compare(m.version, o.version))
}

// inOrder sorts facts that were read at once by when they occurred: those of an order stand in several topics, which are read in any order.
// Those of a partition keep their order there, as an ID relies on it.
func inOrder(facts []Fact) {
	latest := map[int]moment{}
	for i, f := range facts {
		if before, there := latest[f.partition]; there && f.moment.compare(before) < 0 {
			facts[i].moment = before
		}
		latest[f.partition] = facts[i].moment
	}
	slices.SortStableFunc(facts, func(a, b Fact) int { return a.moment.compare(b.moment) })
}

// Filter says which facts are asked for. A field's zero value asks for all.
type Filter struct {
	Source   string
	Order    string
	Types    []string
	Statuses []domain.Status
}

// Matches reports whether the fact is asked for.
func (f Filter) Matches(fact Fact) bool {
	return (f.Source == "" || f.Source == fact.Source) && (f.Order == "" || f.Order == fact.Order) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, fact.Type)) && (len(f.Statuses) == 0 || slices.Contains(f.Statuses, fact.Status))
}

// Types are those of all facts: the topics that they stand in, in the order of the flow.
var Types = slices.DeleteFunc(event.TopicsOf(event.GroupProjector), func(topic string) bool { return topic == event.TopicDeadLetter })

// Names are the types in short.
var Names = func() (names []string) {
	for _, t := range Types {
		names = append(names, strings.TrimPrefix(t, prefix))
	}
	return names
}()

const prefix = "vendor_erp_sync_"

// shownTime has the form of the timeline's times.
const shownTime = "2006-01-02T15:04:05.000Z07:00"

// shown is what is sent of a fact: what the timeline shows of it, and the sync's state. Order, payload and response hold the customer's
// data and are left out.
type shown struct {
	SyncID           int64          `json:"sync_id"`
	Source           string         `json:"source"`
	OrderIncrementID string         `json:"order_increment_id"`
	OccurredAt       string         `json:"occurred_at"`
	Type             string         `json:"type"`
	Status           domain.Status  `json:"status"`
	Generation       int            `json:"generation"`
	Attempts         int            `json:"attempts"`
	MaxAttempts      int            `json:"max_attempts"`
	NextAttemptAt    *string        `json:"next_attempt_at"`
	ErpReference     *string        `json:"erp_reference"`
	Version          domain.Version `json:"version"`
	HTTPStatus       *int           `json:"http_status"`
	ErrorCode        *string        `json:"error_code"`
	Error            *string        `json:"error"`
	Cause            *string        `json:"cause"`
	Warnings         []string       `json:"warnings,omitempty"`
	NotSent          []string       `json:"not_sent,omitempty"`
	Topic            string         `json:"topic"`
	Partition        int32          `json:"partition"`
	Offset           int64          `json:"offset"`
}

// factOf reads a record of the log. ok is false when nobody can: such a record is a dead letter, and no fact.
func factOf(v event.View, partition int32, offset int64) (f Fact, ok bool) {
	record, err := v.Sync()
	if err != nil {
		return f, false
	}
	at, err := v.Time()
	if err != nil {
		return f, false
	}
	s := record.Sync
	out := shown{
		SyncID: s.SyncID, Source: s.Source, OrderIncrementID: s.OrderIncrementID, OccurredAt: at.Format(shownTime), Type: v.Topic,
		Status: s.Status, Generation: s.Generation, Attempts: s.Attempts, MaxAttempts: s.MaxAttempts, NextAttemptAt: timeText(s.NextAttemptAt),
		ErpReference: s.ErpReference, Version: s.Version, ErrorCode: orNull(string(s.ErrorCode)), Error: record.Error, Cause: orNull(s.Why()),
		Warnings: record.Warnings, NotSent: record.NotSent, Topic: v.Topic, Partition: partition, Offset: offset,
	}
	if record.Response != nil && v.Topic != event.TopicCallback {
		out.HTTPStatus = &record.Response.Status
	}
	data, err := domain.EncodeJSON(out)
	if err != nil {
		return f, false
	}
	return Fact{Source: s.Source, Order: s.OrderIncrementID, Type: v.Topic, Status: s.Status, Data: data, offset: offset, moment: moment{at, s.Version}}, true
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func timeText(t *time.Time) *string {
	if t == nil {
		return nil
	}
	return new(t.UTC().Format(shownTime))
}

// TypeNamed is the type that a name means, in full or in short. ok is false when there is none.
func TypeNamed(name string) (full string, ok bool) {
	full = prefix + strings.TrimPrefix(name, prefix)
	if !slices.Contains(Types, full) {
		return "", false
	}
	return full, true
}
