package api

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/spelling"
	"github.com/erpconnector/erpconnector/shared/syncs"
)

// criteriaParameter is Magento's way to ask for a list: searchCriteria[filter_groups][0][filters][0][field]=status and so on.
const criteriaParameter = "searchCriteria"

const maxCriteria = 50 // parameters of one search

// searchCriteria is what Magento's form asks for, and how Magento says it back.
type searchCriteria struct {
	FilterGroups []filterGroup `json:"filter_groups"` // all must hold
	SortOrders   []sortOrder   `json:"sort_orders,omitempty"`
	PageSize     int           `json:"page_size"`
	CurrentPage  int           `json:"current_page"`
}

// filterGroup holds when one of its filters does.
type filterGroup struct {
	Filters []criterion `json:"filters"`
}

// criterion is one condition on a member.
type criterion struct {
	Field         string `json:"field"`
	Value         string `json:"value"`
	ConditionType string `json:"condition_type"`

	at string // the parameter, without its last name
}

type sortOrder struct {
	Field     string `json:"field"`
	Direction string `json:"direction"`

	at string
}

// hasCriteria reports whether a query is in Magento's form.
func hasCriteria(p *httpapi.Parameters) bool {
	return slices.ContainsFunc(p.Names(), isCriterion)
}

func isCriterion(name string) bool {
	return name == criteriaParameter || strings.HasPrefix(name, criteriaParameter+"[")
}

// criteriaParser reads the parameters of a search, and notes what is wrong with them.
type criteriaParser struct {
	p       *httpapi.Parameters
	filters map[[2]string]*criterion // by group and filter
	sorts   map[string]*sortOrder
	out     searchCriteria
}

// criteriaOf reads a query in Magento's form. A shop is the only parameter that goes with it.
func criteriaOf(p *httpapi.Parameters) searchCriteria {
	c := criteriaParser{
		p: p, filters: map[[2]string]*criterion{}, sorts: map[string]*sortOrder{},
		out: searchCriteria{FilterGroups: []filterGroup{}, PageSize: syncsPage, CurrentPage: 1},
	}
	names := p.Names()
	if len(names) > maxCriteria {
		p.Refuse(criteriaParameter, problem.CodeInvalid, fmt.Sprintf("has %d parameters; at most %d are taken", len(names), maxCriteria))
		return c.out
	}
	for _, name := range names {
		switch {
		case !isCriterion(name) && name != sourceParameter:
			p.Refuse(name, problem.CodeMisplaced, "does not go with "+criteriaParameter+": use one of the two forms")
		case isCriterion(name) && name != criteriaParameter:
			c.take(name, p.Text(name))
		}
	}
	return c.finish()
}

var criteriaKeys = regexp.MustCompile(`^searchCriteria((?:\[[a-zA-Z0-9_]+\])+)$`)

// take reads one parameter. Names are Magento's, in both of its spellings; indexes may be any words, as in PHP.
func (c *criteriaParser) take(name, value string) {
	m := criteriaKeys.FindStringSubmatch(name)
	if m == nil {
		c.p.Refuse(name, problem.CodeUnknown, "cannot be read: give each index, as in searchCriteria[filter_groups][0][filters][0][field]")
		return
	}
	keys := strings.Split(strings.Trim(m[1], "[]"), "][")
	at := name[:strings.LastIndex(name, "[")]
	switch key := spelt(keys[0]); {
	case len(keys) == 5 && key == "filter_groups" && keys[2] == "filters":
		c.filter([2]string{keys[1], keys[3]}, at).set(c.p, name, spelt(keys[4]), value)
	case len(keys) == 3 && key == "sort_orders":
		c.sort(keys[1], at).set(c.p, name, spelt(keys[2]), value)
	case len(keys) == 1 && key == "page_size":
		c.out.PageSize = c.p.Int(name, syncsPage, 1, maxSyncsPage)
	case len(keys) == 1 && key == "current_page":
		c.out.CurrentPage = c.p.Int(name, 1, 1, maxFound)
	default:
		refuseKey(c.p, name, keys[0], "filter_groups", "sort_orders", "page_size", "current_page")
	}
}

func refuseKey(p *httpapi.Parameters, name, key string, known ...string) {
	p.Refuse(name, problem.CodeUnknown, fmt.Sprintf("is not known here: %s", spelling.Hint(spelt(key), known)))
}

// spelt is a name of Magento's in small letters: filterGroups is filter_groups.
func spelt(name string) string {
	var out strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
			r += 'a' - 'A'
		}
		out.WriteRune(r)
	}
	return out.String()
}

func (c *criteriaParser) filter(index [2]string, at string) *criterion {
	if c.filters[index] == nil {
		c.filters[index] = &criterion{ConditionType: "eq", at: at}
	}
	return c.filters[index]
}

func (c *criteriaParser) sort(index, at string) *sortOrder {
	if c.sorts[index] == nil {
		c.sorts[index] = &sortOrder{Direction: "DESC", at: at}
	}
	return c.sorts[index]
}

func (f *criterion) set(p *httpapi.Parameters, name, key, value string) {
	switch key {
	case "field":
		f.Field = value
	case "value":
		f.Value = value
	case "condition_type":
		f.ConditionType = value
	default:
		refuseKey(p, name, key, "field", "value", "condition_type")
	}
}

func (s *sortOrder) set(p *httpapi.Parameters, name, key, value string) {
	switch key {
	case "field":
		s.Field = value
	case "direction":
		s.Direction = strings.ToUpper(value)
	default:
		refuseKey(p, name, key, "field", "direction")
	}
}

// finish puts groups, filters and sort orders into the order of their indexes.
func (c *criteriaParser) finish() searchCriteria {
	group := ""
	for _, index := range slices.SortedFunc(maps.Keys(c.filters), func(a, b [2]string) int {
		return cmp.Or(compareIndexes(a[0], b[0]), compareIndexes(a[1], b[1]))
	}) {
		if len(c.out.FilterGroups) == 0 || index[0] != group {
			c.out.FilterGroups, group = append(c.out.FilterGroups, filterGroup{}), index[0]
		}
		last := &c.out.FilterGroups[len(c.out.FilterGroups)-1]
		last.Filters = append(last.Filters, *c.filters[index])
	}
	for _, index := range slices.SortedFunc(maps.Keys(c.sorts), compareIndexes) {
		c.out.SortOrders = append(c.out.SortOrders, *c.sorts[index])
	}
	return c.out
}

// compareIndexes compares 2 and 10 as numbers, and words as words.
func compareIndexes(a, b string) int {
	x, err := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err == nil && err2 == nil {
		return cmp.Compare(x, y)
	}
	return cmp.Compare(a, b)
}

// apply makes the filter that the criteria ask for, and notes what cannot be asked for.
func (c searchCriteria) apply(p *httpapi.Parameters, f *syncs.Filter) {
	for _, group := range c.FilterGroups {
		if len(group.Filters) > 1 && !ofStatuses(group.Filters) {
			p.Refuse(group.Filters[1].at, problem.CodeInvalid, "is one of several filters of a group, which means or: that is taken of status only. Give each filter its own group")
			continue
		}
		if ofStatuses(group.Filters) {
			restrictStatuses(p, f, group.Filters)
			continue
		}
		if key, detail := group.Filters[0].apply(f); detail != "" {
			p.Refuse(group.Filters[0].at+"["+key+"]", problem.CodeInvalid, detail)
		}
	}
	c.applySort(p, f)
}

func (c searchCriteria) applySort(p *httpapi.Parameters, f *syncs.Filter) {
	if len(c.SortOrders) == 0 {
		return
	}
	by := syncs.Sort(c.SortOrders[0].Field)
	if c.SortOrders[0].Direction == "DESC" {
		by = "-" + by
	}
	switch {
	case len(c.SortOrders) > 1:
		p.Refuse(c.SortOrders[1].at, problem.CodeInvalid, "is a second order; one is taken. Syncs of one time come by sync_id")
	case c.SortOrders[0].Direction != "ASC" && c.SortOrders[0].Direction != "DESC":
		p.Refuse(c.SortOrders[0].at+"[direction]", problem.CodeInvalid, "must be ASC or DESC")
	case !slices.Contains(syncs.Sorts, by):
		p.Refuse(c.SortOrders[0].at+"[field]", problem.CodeInvalid, "must be updated_at or created_at")
	default:
		f.Sort = by
	}
}
