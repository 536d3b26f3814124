package quarantine

import (
	"fmt"
	"slices"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// Words are a Filter as an operator writes it: the command line and the API take the same words under the same names.
type Words struct {
	State   string `json:"state"` // empty: open
	Door    string `json:"door"`
	Source  string `json:"source"`
	Code    string `json:"code"`
	Order   string `json:"order"` // of Source; of the default shop when that is empty
	EventID string `json:"event_id"`
	Text    string `json:"text"`
	Since   string `json:"since"`
	Until   string `json:"until"`
}

// SelectingWords are the names of those that select entries: all but the state.
var SelectingWords = []string{"door", "source", "code", "order", "event_id", "text", "since", "until"}

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
	f = Filter{Door: Door(w.Door), State: Open, Source: w.Source, Code: Code(w.Code), EventID: w.EventID, Text: w.Text}
	switch w.State {
	case "", string(Open):
	case string(Discarded):
		f.State = Discarded
	case "all":
		f.State = ""
	default:
		refuse("state", fmt.Sprintf("is %.100q; it must be open (which it is when left out), discarded or all", w.State))
	}
	if w.Door != "" && !slices.Contains(Doors, f.Door) {
		refuse("door", fmt.Sprintf("is %.100q, which is no door: %s", w.Door, hint(w.Door, Doors)))
	}
	if w.Code != "" && !slices.Contains(Codes, f.Code) {
		refuse("code", fmt.Sprintf("is %.100q, which is no reason: %s", w.Code, hint(w.Code, Codes)))
	}
	w.readOrder(&f, refuse)
	w.readTimes(&f, refuse)
	for name, text := range map[string]string{"event_id": w.EventID, "text": w.Text} {
		if err := domain.PlainText(text); err != nil {
			refuse(name, err.Error())
		}
	}
	return f, wrong
}

func hint[T ~string](name string, known []T) string {
	texts := make([]string, len(known))
	for i, k := range known {
		texts[i] = string(k)
	}
	return spelling.Hint(name, texts)
}

func (w Words) readOrder(f *Filter, refuse func(name, detail string)) {
	ref := domain.OrderRef{Source: w.Source, IncrementID: w.Order}
	if w.Source == "" {
		ref.Source = domain.DefaultSource
	} else if err := domain.ValidateKnownSource(w.Source); err != nil {
		refuse("source", err.Error())
	}
	if w.Order == "" {
		return
	}
	f.OrderKey = ref.Key()
	if err := domain.ValidateKnownIncrementID(w.Order); err != nil {
		refuse("order", err.Error())
	}
}

const maxYears = 9999 // that Postgres and JSON can keep

func (w Words) readTimes(f *Filter, refuse func(name, detail string)) {
	for _, t := range []struct {
		name, text string
		into       *time.Time
	}{{"since", w.Since, &f.Since}, {"until", w.Until, &f.Until}} {
		if t.text == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, t.text)
		if err != nil {
			at, err = time.Parse(time.DateOnly, t.text)
		}
		if err != nil || at.Year() < 1 || at.Year() > maxYears {
			refuse(t.name, fmt.Sprintf("is %.100q; it must be a time like 2024-01-15T10:00:00Z, or a day like 2024-01-15 (UTC)", t.text))
			continue
		}
		*t.into = at.UTC()
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		refuse("until", "is not after since, so nothing is between them")
	}
}
