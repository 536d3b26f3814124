// Command erpconnector runs the connector's services and carries the operator's commands.
package main

import (
	"os"
	_ "time/tzdata" // an image may hold no time zones

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
)

func main() { os.Exit(cli.Main()) }
