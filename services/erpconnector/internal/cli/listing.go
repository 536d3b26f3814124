package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// listing is a route that lists, and how its rows are printed.
type listing[T any] struct {
	member  string      // of the answer: the rows
	columns []column[T] // of the table
	members []string    // of a row: the columns in CSV
	none    string      // in place of an empty table
	more    string      // before the command that shows what comes next
	flag    string      // of that command, that takes the place; empty: after
	most    int         // rows of a page; 0: all rows come at once
}

// outputFlag is -o of a command that lists.
func outputFlag(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "table", outputUsage)
	completeWords(cmd, "output", false, outputs...)
}

// pages gives rows to do, page by page, until there are so many (0: all). next is the cursor of what comes then; empty: nothing does.
func (l listing[T]) pages(ctx context.Context, c connector, query url.Values, limit int, do request, row func(T, json.RawMessage) error) (next string, err error) {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	for rows := 0; ; {
		if l.most > 0 {
			page := l.most
			if limit > 0 {
				page = min(page, limit-rows)
			}
			query.Set("limit", strconv.Itoa(page))
		}
		var answer map[string]json.RawMessage
		if _, err := c.get(ctx, do, query, &answer); err != nil {
			return "", err
		}
		var raw []json.RawMessage
		if err := json.Unmarshal(answer[l.member], &raw); err != nil {
			return "", c.failed(fmt.Errorf("reading the answer: %w", err))
		}
		for _, one := range raw {
			var value T
			if err := json.Unmarshal(one, &value); err != nil {
				return "", c.failed(fmt.Errorf("reading the answer: %w", err))
			}
			if err := row(value, one); err != nil {
				return "", err
			}
			rows++
		}
		next = ""
		_ = json.Unmarshal(answer["next"], &next) // null, or not there: it was the last page
		if next == "" || (limit > 0 && rows >= limit) {
			return next, nil
		}
		query.Set("cursor", next)
	}
}

// print prints rows, and then how to see more, if there are more. What came before an error is printed too.
func (l listing[T]) print(cmd *cobra.Command, c connector, output string, query url.Values, limit int, do request) error {
	p := &rowPrinter[T]{w: cmd.OutOrStdout(), output: output, columns: l.columns, members: l.members, none: l.none, colour: coloured(cmd.Context(), cmd.OutOrStdout())}
	next, err := l.pages(cmd.Context(), c, query, limit, do, p.add)
	if err != nil {
		if p.rows > 0 {
			_ = p.end()
		}
		return err
	}
	if err := p.end(); err != nil || next == "" {
		return err
	}
	w := cmd.OutOrStdout()
	if output != "table" {
		w = cmd.ErrOrStderr()
	}
	_, err = fmt.Fprintf(w, "%s: %s\n", l.more, nextPage(cmd, cmd.Flags().Args(), cmp.Or(l.flag, "after"), next))
	return err
}

// memberText is a member of a row, for CSV: a text as it is, a list with commas between, anything else as JSON.
func memberText(raw json.RawMessage) string {
	var text string
	var list []string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &list) == nil:
		return strings.Join(list, ",")
	}
	return string(raw)
}

// membersOf are some members of a row, for CSV.
func membersOf(raw json.RawMessage, names []string) ([]string, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("reading a row: %w", err)
	}
	cells := slices.Clone(names)
	for i, name := range names {
		cells[i] = spreadsheetSafe(memberText(all[name]))
	}
	return cells, nil
}
