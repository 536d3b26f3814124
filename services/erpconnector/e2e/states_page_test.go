package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// factsAfter parts a cell: the answer, and the facts that follow.
const factsAfter = "<br>"

// statesPage is docs/states.md: a part per request, in which states of the order that lead to the same share a line.
func statesPage(cells map[string]string) string {
	head, err := os.ReadFile("testdata/states.md.tmpl")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	b.Write(head)
	for _, r := range stateRequests {
		b.WriteString("\n### " + r.name + "\n\n" + r.how + "\n\n| the order is | answer | written to the log |\n|---|---|---|\n")
		for _, line := range stateLines(func(column domain.OrderState) string { return cells[r.name+"/"+string(column)] }) {
			answer, facts, _ := strings.Cut(line.cell, factsAfter)
			b.WriteString("| " + strings.Join(line.columns, ", ") + " | " + answer + " | " + facts + " |\n")
		}
	}
	return b.String()
}

type stateLine struct {
	columns []string
	cell    string
}

func stateLines(cell func(column domain.OrderState) string) (lines []stateLine) {
	for _, column := range stateColumns {
		is := cell(column)
		i := slices.IndexFunc(lines, func(l stateLine) bool { return l.cell == is })
		if i < 0 {
			i, lines = len(lines), append(lines, stateLine{cell: is})
		}
		lines[i].columns = append(lines[i].columns, columnTitle(column))
	}
	return lines
}

func columnTitle(s domain.OrderState) string { return strings.ReplaceAll(string(s), "_", " ") }

// documentedCell is what the page says.
func documentedCell(t *testing.T, request string, column domain.OrderState) string {
	t.Helper()
	page, err := os.ReadFile(repository + "/docs/states.md")
	require.NoError(t, err, "run `go test ./services/erpconnector/e2e -run TestStates -update`")
	_, part, _ := strings.Cut(string(page), "\n### "+request+"\n")
	part, _, _ = strings.Cut(part, "\n### ")
	for line := range strings.Lines(part) {
		fields := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(fields) != 3 || !slices.Contains(strings.Split(strings.TrimSpace(fields[0]), ", "), columnTitle(column)) {
			continue
		}
		answer, facts := strings.TrimSpace(fields[1]), strings.TrimSpace(fields[2])
		if facts == "" {
			return answer
		}
		return answer + factsAfter + facts
	}
	require.Fail(t, "docs/states.md has no such cell")
	return ""
}
