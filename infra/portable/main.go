// Command portable type-checks and vets packages, tests too, for every system that the connector is built for:
//
//	go run ./infra/portable ./shared/... ./services/...
//
// It finds what a compiler would refuse, in a small part of the time: all is read from source, of dependencies only the
// declarations, and no code is generated. It does not say that a program works there.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/analysis/passes/buildtag"
	"golang.org/x/tools/go/analysis/passes/copylock"
	"golang.org/x/tools/go/analysis/passes/ifaceassert"
	"golang.org/x/tools/go/analysis/passes/nilfunc"
	"golang.org/x/tools/go/analysis/passes/shift"
	"golang.org/x/tools/go/analysis/passes/sigchanyzer"
	"golang.org/x/tools/go/analysis/passes/stdversion"
	"golang.org/x/tools/go/analysis/passes/unsafeptr"
	"golang.org/x/tools/go/analysis/passes/unusedresult"
	"golang.org/x/tools/go/packages"
)

// run is one look at all packages.
type run struct{ system, processor, tags string }

const tagged = "failpoints,speed,mutants,full" // as the gate has them

// runs are all platforms but linux/amd64, where the gate compiles and vets with the Go command; with the build tags one
// of each system.
var runs = []run{
	{"linux", "arm64", ""},
	{"darwin", "amd64", ""},
	{"darwin", "arm64", ""},
	{"darwin", "arm64", tagged},
	{"windows", "amd64", ""},
	{"windows", "amd64", tagged},
	{"windows", "arm64", ""},
}

// analyzers are those of `go vet` that look at one package alone and whose findings may differ between systems.
var analyzers = []*analysis.Analyzer{
	buildtag.Analyzer, copylock.Analyzer, ifaceassert.Analyzer, nilfunc.Analyzer, shift.Analyzer, sigchanyzer.Analyzer,
	stdversion.Analyzer, unsafeptr.Analyzer, unusedresult.Analyzer,
}

func main() {
	failed := false
	for _, r := range runs {
		began := time.Now()
		checked, problems, err := r.check(".", os.Args[1:])
		if err != nil {
			problems = append(problems, err.Error())
		}
		for _, p := range problems {
			fmt.Fprintf(os.Stderr, "%s/%s: %s\n", r.system, r.processor, p)
		}
		failed = failed || len(problems) > 0 || checked == 0
		fmt.Printf("%s/%s %s: %d packages in %s\n", r.system, r.processor, r.tags, checked, time.Since(began).Round(100*time.Millisecond))
	}
	if failed {
		os.Exit(1)
	}
}

// mode is to read everything from source.
const mode = packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
	packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes | packages.NeedModule

// check looks at the packages and their tests.
func (r run) check(dir string, patterns []string) (checked int, problems []string, err error) {
	found, err := packages.Load(&packages.Config{
		Dir:        dir,
		Mode:       mode,
		Env:        append(os.Environ(), "GOOS="+r.system, "GOARCH="+r.processor, "CGO_ENABLED=0"),
		BuildFlags: []string{"-tags=" + r.tags},
		Tests:      true,
	}, patterns...)
	if err != nil {
		return 0, nil, err
	}
	for _, p := range found {
		for _, e := range p.Errors {
			problems = append(problems, strings.TrimSpace(e.Error()))
		}
	}
	if len(problems) > 0 {
		return len(found), unique(problems), nil
	}
	graph, err := checker.Analyze(analyzers, found, nil)
	if err != nil {
		return len(found), nil, err
	}
	for _, action := range graph.Roots {
		if action.Err != nil {
			problems = append(problems, fmt.Sprintf("%s: %s: %s", action.Package.PkgPath, action.Analyzer, action.Err))
		}
		for _, d := range action.Diagnostics {
			problems = append(problems, fmt.Sprintf("%s: %s (%s)", action.Package.Fset.Position(d.Pos), d.Message, action.Analyzer))
		}
	}
	return len(found), unique(problems), nil
}

// unique: a file stands in its package and in the one with its tests.
func unique(problems []string) []string {
	slices.Sort(problems)
	return slices.Compact(problems)
}
