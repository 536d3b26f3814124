package domain_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/domain"
)

func TestTextsOfOneKindAreTheSame(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "",
		"no such sku":                           "no such sku",
		"no such sku ABC-12 in order 000000123": "no such sku # in order #",
		"no such sku \"XL red\" (order 7)":      "no such sku # (order #)",
		"unknown customer 'Jane Doe' <jane@example.test>": "unknown customer # <#>",
		"item_id=17, qty: 2.50":                           "item_id=#, qty: #",
		"  many\n\tspaces ":                               "many spaces",
		"unbekannte Größe „XL“ für 12,50 €":               "unbekannte Größe # für #,# €",
		"dial tcp 10.0.0.7:443: connect: refused":         "dial tcp #:#: connect: refused",
		"an apostrophe isn't a quotation":                 "an apostrophe isn't a quotation",
	} {
		require.Equal(t, want, domain.GroupText(text), text)
	}
	long := domain.GroupText(strings.Repeat("ä ", 1000))
	require.LessOrEqual(t, len(long), 300)
	require.True(t, utf8.ValidString(long))
}

// What was grouped once stays as it is: a text that stands in a filter finds its group.
func TestAGroupsTextIsItsOwnGroup(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := domain.GroupText(rapid.String().Draw(t, "text"))
		require.Equal(t, text, domain.GroupText(text))
	})
}

func TestGroupsAreToldApart(t *testing.T) {
	t.Parallel()
	a := domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku"}
	seen := map[int64]bool{a.ID(): true}
	for _, change := range []func(*domain.ErrorGroup){
		func(g *domain.ErrorGroup) { g.HTTPStatus = 400 },
		func(g *domain.ErrorGroup) { g.Code = domain.ErrorBusy },
		func(g *domain.ErrorGroup) { g.Text = "no such customer" },
		func(g *domain.ErrorGroup) { g.Answer.Code = "ORD-17" },
		func(g *domain.ErrorGroup) { g.Answer.Field = "ORD-17" },
		func(g *domain.ErrorGroup) { g.Answer = domain.AnswerError{Code: "ORD-17", Field: "items[#].sku"} },
		func(g *domain.ErrorGroup) { g.Answer = domain.AnswerError{Code: "ORD-17", Field: "items[#].qty"} },
	} {
		b := a
		change(&b)
		require.False(t, seen[b.ID()])
		require.Positive(t, b.ID())
		seen[b.ID()] = true
	}
}

// Filters, bulk jobs and alerts name groups by their ids. Without a code and a field of the ERP's an id is what it was before there were any.
func TestAGroupKeepsItsID(t *testing.T) {
	t.Parallel()
	g := domain.ErrorGroup{HTTPStatus: 422, Code: domain.ErrorRejected, Text: "no such sku #"}
	require.EqualValues(t, 1160422113942515343, g.ID())
	g.Answer = domain.AnswerError{Code: "ORD-17", Field: "items[#].sku"}
	require.EqualValues(t, 6544709494314608849, g.ID())
}
