package deadletter

import (
	"fmt"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Filter selects dead letters. What is empty selects all.
type Filter struct {
	State    State
	Topic    string // where the record stood, without the prefix
	Cause    string // a part of the reason, in small or capital letters
	Source   string // of this shop's orders
	OrderKey string
	Since    time.Time // written then or later
	Until    time.Time // and before this
	After    int64     // only greater ids; -1: from the first
	Limit    int
}

// Words are a Filter as an operator writes it: the command line and the API take the same words under the same names.
type Words struct {
	State  string `json:"state"` // empty: open
	Topic  string `json:"topic"`
	Cause  string `json:"cause"`
	Source string `json:"source"`
	Order  string `json:"order"` // of Source; of the default shop when that is empty
	Since  string `json:"since"`
	Until  string `json:"until"`
}

// IsEmpty reports whether no word but the state selects anything.
func (w Words) IsEmpty() bool {
	w.State = ""
	return w == Words{}
}

// Filter reads the words. What is wrong with them names the word as the parameter.
func (w Words) Filter() (f Filter, wrong []problem.FieldError) {
	refuse := func(name, detail string) {
		wrong = append(wrong, problem.FieldError{Parameter: name, Code: problem.CodeInvalid, Detail: detail})
	}
	f = Filter{State: Open, Topic: w.Topic, Cause: w.Cause, Source: w.Source, After: -1}
	switch state := State(w.State); state {
	case "", Open:
	case Redriven, Discarded:
		f.State = state
	case "all":
		f.State = ""
	default:
		refuse("state", fmt.Sprintf("is %.100q; it must be open (which it is when left out), redriven, discarded or all", w.State))
	}
	ref := domain.OrderRef{Source: w.Source, IncrementID: w.Order}
	if w.Source == "" {
		ref.Source = domain.DefaultSource
	} else if err := domain.ValidateKnownSource(w.Source); err != nil {
		refuse("source", err.Error())
	}
	if w.Order != "" {
		f.OrderKey = ref.Key()
		if err := domain.ValidateKnownIncrementID(w.Order); err != nil {
			refuse("order", err.Error())
		}
	}
	for _, t := range []struct {
		name, text string
		into       *time.Time
	}{{"since", w.Since, &f.Since}, {"until", w.Until, &f.Until}} {
		at, err := readTime(t.text)
		if *t.into = at; err != nil {
			refuse(t.name, err.Error())
		}
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		refuse("until", "is not after since, so nothing is between them")
	}
	return f, wrong
}

func readTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1 && t.Year() <= maxYears {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("is %.100q; it must be a time like 2024-01-15T10:00:00Z, or a day like 2024-01-15 (UTC)", text)
}

// condition is the filter in SQL, with its arguments from $1 on. The key of an order of the default shop has no slash.
func (f Filter) condition() (where string, args []any) {
	keepable := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return `id > $1 AND ($2 = '' OR state = $2) AND ($3 = '' OR order_key = $3) AND ($4 = '' OR topic = $4)
		AND ($5 = '' OR position(lower($5) IN lower(reason)) > 0)
		AND ($6 = '' OR CASE WHEN $6 = $7 THEN position('/' IN order_key) = 0 ELSE starts_with(order_key, $6 || '/') END)
		AND ($8::timestamptz IS NULL OR written_at >= $8) AND ($9::timestamptz IS NULL OR written_at < $9)`,
		[]any{f.After, string(f.State), f.OrderKey, f.Topic, f.Cause, f.Source, domain.DefaultSource, keepable(f.Since), keepable(f.Until)}
}
