package contracts_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	repository = "../.." // seen from this package
	module     = "github.com/erpconnector/erpconnector/"
)

// source is what reflection does not tell of a package: the comments of its structs' fields, and the constants of its types.
type source struct {
	fields    map[string]string   // by type.field
	constants map[string][]string // texts by type
}

var (
	sourcesLock sync.Mutex
	sources     = map[string]source{}
)

// sourceOf reads a package of the repository; of any other nothing is known.
func sourceOf(t *testing.T, path string) source {
	t.Helper()
	dir, ours := strings.CutPrefix(path, module)
	if !ours {
		return source{}
	}
	sourcesLock.Lock()
	defer sourcesLock.Unlock()
	if s, known := sources[path]; known {
		return s
	}
	s := source{map[string]string{}, map[string][]string{}}
	for _, file := range goFiles(t, filepath.Join(repository, dir)) {
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				s.read(g)
			}
		}
	}
	sources[path] = s
	return s
}

// goFiles are the parsed files of a folder without its tests.
func goFiles(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ParseComments)
			require.NoError(t, err)
			files = append(files, file)
		}
	}
	return files
}

func (s source) read(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if structure, ok := spec.Type.(*ast.StructType); ok {
				s.readFields(spec.Name.Name, structure)
			}
		case *ast.ValueSpec:
			s.readConstant(g.Tok, spec)
		}
	}
}

func (s source) readFields(owner string, structure *ast.StructType) {
	for _, f := range structure.Fields.List {
		text := strings.TrimSpace(f.Comment.Text())
		if text == "" {
			text = strings.TrimSpace(f.Doc.Text())
		}
		for _, name := range f.Names {
			s.fields[owner+"."+name.Name] = strings.Join(strings.Fields(text), " ")
		}
	}
}

func (s source) readConstant(kind token.Token, spec *ast.ValueSpec) {
	of, named := spec.Type.(*ast.Ident)
	if kind != token.CONST || !named {
		return
	}
	for _, v := range spec.Values {
		if literal, ok := v.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil && text != "" {
				s.constants[of.Name] = append(s.constants[of.Name], text)
			}
		}
	}
}

// meaningOf is the comment of a field.
func meaningOf(t *testing.T, owner reflect.Type, f reflect.StructField) string {
	t.Helper()
	name, _, _ := strings.Cut(owner.Name(), "[")
	return sourceOf(t, owner.PkgPath()).fields[name+"."+f.Name]
}

// constantsOf are the texts that a type has names for.
func constantsOf(t *testing.T, of reflect.Type) []string {
	t.Helper()
	return sourceOf(t, of.PkgPath()).constants[of.Name()]
}
