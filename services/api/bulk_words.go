package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// BulkWords are the names of what a bulk command selects orders by: those of GET /syncs, without those that only shape a list.
var BulkWords = slices.DeleteFunc(slices.Clone(syncParameters), func(name string) bool {
	return slices.Contains([]string{criteriaParameter, "cursor", "fields", "limit", "sort"}, name)
})

// BulkFilter reads words that select orders, and finds what is wrong with them; the errors name the words as parameters. An age is one
// before now. No word at all is refused: all orders are hardly meant.
func BulkFilter(words url.Values) (f syncs.Filter, wrong []problem.FieldError) {
	p := httpapi.ParametersFrom(words)
	if len(words) == 0 {
		p.Refuse("status", problem.CodeRequired, "is required, or another word that selects orders: "+strings.Join(BulkWords, ", "))
	}
	for _, name := range BulkWords {
		if p.Has(name) && p.Text(name) == "" && name != sourceParameter {
			p.Refuse(name, problem.CodeInvalid, "is empty; leave it out to select all")
		}
	}
	f = syncFilter(p)
	f.Limit = 0 // a list's
	return f, p.Wrong
}

// bulkFilterOf reads the member filter of a body. A value is a text, a whole number, or a list of statuses. The errors point into the body.
func bulkFilterOf(filter map[string]json.RawMessage) (f syncs.Filter, words map[string]string, wrong []problem.FieldError) {
	values := url.Values{}
	words = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(filter)) { // so that the same body gets the same answer
		text, err := wordOf(filter[name])
		if err != nil {
			wrong = append(wrong, problem.FieldError{Pointer: "/filter/" + name, Code: problem.CodeType, Detail: err.Error()})
			continue
		}
		values.Set(name, text)
		words[name] = text
	}
	if len(wrong) > 0 {
		return f, nil, wrong
	}
	f, wrong = BulkFilter(values)
	for i := range wrong {
		wrong[i].Pointer, wrong[i].Parameter = "/filter/"+wrong[i].Parameter, ""
	}
	return f, words, wrong
}

// wordOf is a member's value as a query has it.
func wordOf(raw json.RawMessage) (string, error) {
	var text string
	var list []string
	switch raw = bytes.TrimSpace(raw); {
	case json.Unmarshal(raw, &text) == nil && raw[0] == '"':
		return text, nil
	case json.Unmarshal(raw, &list) == nil && raw[0] == '[':
		return strings.Join(list, ","), nil
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw), nil
	}
	return "", fmt.Errorf("is %.100s; it must be a text, or a number as GET /syncs takes it", raw)
}
