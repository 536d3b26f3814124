package contracts_test

import (
	"go/ast"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// The codes of problems that the sources write, that the routes' descriptions list, and that docs/errors.md explains are the same.
func TestEveryProblemCodeIsDescribed(t *testing.T) {
	t.Parallel()
	listed := map[string][]string{"not_found": {"404"}, "method_not_allowed": {"405"}} // the router's, of no route
	for _, r := range describedRoutes(t) {
		for status, codes := range problemsOf(r) {
			for _, code := range codes {
				listed[code] = append(listed[code], strconv.Itoa(status))
			}
		}
	}
	explained := explainedCodes(t)
	require.ElementsMatch(t, slices.Collect(maps.Keys(listed)), codesOfSources(t), "the descriptions of routes, and the sources")
	require.ElementsMatch(t, slices.Collect(maps.Keys(listed)), slices.Collect(maps.Keys(explained)), "the descriptions of routes, and docs/errors.md")
	for code, statuses := range listed {
		slices.Sort(statuses)
		require.Equal(t, strings.Join(slices.Compact(statuses), ", "), explained[code], "the status of %s in docs/errors.md", code)
	}
}

var tableRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([^|]*) \\|")

// explainedCodes are the codes of docs/errors.md, with their statuses.
func explainedCodes(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(repository + "/docs/errors.md")
	require.NoError(t, err)
	rows := map[string]string{}
	for _, row := range tableRow.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, rows, row[1])
		rows[row[1]] = row[2]
	}
	return rows
}

// codesOfSources are the texts that stand where a problem's code does: Code of a problem.Problem, refused of a bodyFormat, and the
// argument of deny.
func codesOfSources(t *testing.T) []string {
	t.Helper()
	found := map[string]bool{}
	for _, root := range []string{"services", "shared"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(repository, root), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				for _, file := range goFiles(t, path) {
					ast.Inspect(file, func(n ast.Node) bool {
						for _, code := range codesOf(n) {
							found[code] = true
						}
						return true
					})
				}
			}
			return err
		}))
	}
	return slices.Collect(maps.Keys(found))
}

func codesOf(n ast.Node) (codes []string) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		of, _ := nameOf(n.Type)
		for _, e := range n.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok {
				key, _ := nameOf(pair.Key)
				if (of == "Problem" && key == "Code") || key == "refused" {
					codes = append(codes, textsOf(pair.Value)...)
				}
			}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if name, of := nameOf(left); name == "Code" && of == "p" && len(n.Rhs) == len(n.Lhs) {
				codes = append(codes, textsOf(n.Rhs[i])...)
			}
		}
	case *ast.CallExpr:
		if name, _ := nameOf(n.Fun); name == "deny" {
			codes = append(codes, textsOf(n.Args[2])...)
		}
	}
	return codes
}

// nameOf is the name that an expression ends in, and of what it is.
func nameOf(e ast.Expr) (name, of string) {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name, ""
	case *ast.SelectorExpr:
		of, _ = nameOf(e.X)
		return e.Sel.Name, of
	}
	return "", ""
}

// textsOf are the texts that an expression may be: itself, or of each state in which some command is refused.
func textsOf(e ast.Expr) (texts []string) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return nil
		}
		return []string{text}
	case *ast.BinaryExpr:
		for _, start := range textsOf(e.X) {
			for _, request := range domain.Requests {
				for _, state := range domain.OrderStates {
					if domain.ActionFor(request, state) == domain.RefuseConflict {
						texts = append(texts, start+string(state))
					}
				}
			}
		}
	}
	return texts
}
