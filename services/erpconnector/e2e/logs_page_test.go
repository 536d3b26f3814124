package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
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
)

// messageAt is which argument of slog's methods is the message.
var messageAt = map[string]int{
	"Debug": 0, "Info": 0, "Warn": 0, "Error": 0,
	"DebugContext": 1, "InfoContext": 1, "WarnContext": 1, "ErrorContext": 1, "Log": 2, "Failed": 3,
}

// The page lists each line that the code can write, with the keys that the code names there, and no other.
func TestLogsPageAndTheCodeAgree(t *testing.T) {
	page, err := os.ReadFile(repository + "/docs/logs.md")
	require.NoError(t, err)
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^- (debug|info|warn|error|info, warn) `([^`]+)`:\n((?:  .*\n)*)").FindAllStringSubmatch(string(page), -1) {
		line := row[1] + ": " + row[2]
		require.NotContains(t, listed, line, "listed twice")
		listed[line] = row[3]
	}
	written := logLines(t)
	require.Equal(t, slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(listed)))
	for line, keys := range written {
		for _, key := range keys {
			require.Contains(t, listed[line], "`"+key+"`", "a key of %s", line)
		}
	}
}

// logLines are the messages in the code, each after its level, and the keys that stand in the call.
func logLines(t *testing.T) map[string][]string {
	t.Helper()
	lines := map[string][]string{}
	for _, root := range []string{"services", "shared"} {
		err := filepath.WalkDir(filepath.Join(repository, root), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "examples" || d.Name() == "testkit"):
				return filepath.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			return logLinesOf(path, lines)
		})
		require.NoError(t, err)
	}
	require.Greater(t, len(lines), 30)
	return lines
}

func logLinesOf(path string, into map[string][]string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			outageLine(pair, into)
		}
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method := ""
		switch called := call.Fun.(type) {
		case *ast.SelectorExpr:
			method = called.Sel.Name
		case *ast.Ident: // Failed, in its own package
			method = called.Name
		}
		if at, ok := messageAt[method]; ok && len(call.Args) > at {
			if message, ok := text(call.Args[at]); ok {
				line := levelOf(method) + ": " + message
				if method == "Failed" {
					at += 2 // the error and the problem
				}
				into[line] = append(into[line], keysIn(call.Args[at+1:])...)
			}
		}
		return true
	})
	return nil
}

// outageLine notes the two messages of a run.Outage.
func outageLine(pair *ast.KeyValueExpr, into map[string][]string) {
	field, ok := pair.Key.(*ast.Ident)
	message, isText := text(pair.Value)
	if !ok || !isText {
		return
	}
	switch field.Name {
	case "Began":
		into["warn: "+message] = append(into["warn: "+message], "error")
	case "Ended":
		into["info: "+message] = nil
	}
}

func levelOf(method string) string {
	switch method {
	case "Log": // the level is decided there
		return "info, warn"
	case "Failed": // httpapi's
		return "error"
	}
	return strings.ToLower(strings.TrimSuffix(method, "Context"))
}

// keysIn are every second argument, also within an append.
func keysIn(args []ast.Expr) (keys []string) {
	if len(args) == 1 {
		if appended, ok := args[0].(*ast.CallExpr); ok && len(appended.Args) > 1 {
			args = appended.Args[1:]
		}
	}
	for i := 0; i+1 < len(args); i += 2 {
		if key, ok := text(args[i]); ok && key != "service" {
			keys = append(keys, key)
		}
	}
	return keys
}

func text(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(literal.Value)
	return s, err == nil
}
