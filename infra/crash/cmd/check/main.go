// Command check judges a history that a run of the crash harness saved, prints the report, and exits with 1 when a
// promise was broken, with 2 when there is no history to judge:
//
//	go run ./infra/crash/cmd/check history.json
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/erpconnector/erpconnector/infra/crash/checker"
	"github.com/erpconnector/erpconnector/infra/crash/history"
)

func main() { os.Exit(judge(os.Args[1:], os.Stdout, os.Stderr)) }

// judge is the exit code.
func judge(args []string, out, problems io.Writer) int {
	if len(args) != 1 {
		_, _ = fmt.Fprintln(problems, "usage: check history.json")
		return 2
	}
	h, err := history.Load(args[0])
	if err != nil {
		_, _ = fmt.Fprintln(problems, err)
		return 2
	}
	report := checker.Check(h)
	_, _ = fmt.Fprint(out, report)
	if len(report.Violations) > 0 {
		return 1
	}
	return 0
}
