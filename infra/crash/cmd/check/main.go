// Command check judges a history that a run of the crash harness saved, prints the report, and exits with 1 when a
// promise was broken:
//
//	go run ./infra/crash/cmd/check history.json
package main

import (
	"fmt"
	"os"

	"github.com/erpconnector/erpconnector/infra/crash/check"
	"github.com/erpconnector/erpconnector/infra/crash/history"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: check history.json")
		os.Exit(2)
	}
	h, err := history.Load(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	report := check.Check(h)
	fmt.Print(report)
	if len(report.Violations) > 0 {
		os.Exit(1)
	}
}
