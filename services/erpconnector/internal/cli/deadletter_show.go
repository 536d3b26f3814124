package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
)

// letterRecord is a dead letter with its record.
type letterRecord struct {
	client.DeadLetter

	Headers map[string]string `json:"headers"`
	Value   json.RawMessage   `json:"value"`
	Other   []byte            `json:"value_base64"` // in place of a value that is not JSON
}

func deadletterShowCommand(r *remote) *cobra.Command {
	var value bool
	var output string
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its record, which may hold a customer's data", Args: cobra.ExactArgs(1),
		Example: "  erpconnector deadletter show 17\n  erpconnector deadletter show 17 --value > record",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "deadletter list")
			if err = errors.Join(err, checkTextOrJSON(output)); err != nil {
				return err
			}
			return r.askWithKafka(cmd.Context(), func(c connector) error {
				if value {
					return c.printBytes(cmd, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
						return c.ShowDeadLetterValue(ctx, ids[0], edit)
					})
				}
				var l letterRecord
				return c.printThing(cmd, output, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ShowDeadLetter(ctx, ids[0], edit)
				}, &l, func(w io.Writer) error { return printLetter(w, l) })
			})
		},
	}
	cmd.Flags().BoolVar(&value, "value", false, "print the record's value alone, byte for byte; a terminal gets it with escapes")
	textOrJSON(cmd, &output)
	cmd.MarkFlagsMutuallyExclusive("value", "output")
	return cmd
}

// printLetter prints one letter with its record. A value is cut: it may be as large as a record can be, and --value prints all of it.
func printLetter(w io.Writer, l letterRecord) error {
	var b strings.Builder
	fmt.Fprintf(&b, "id        %d\nstate     %s\nwritten   %s by %s\nreason    %s\nfrom      %s\nkey       %s\n", l.Id, l.State, shownTime(l.WrittenAt, time.RFC3339),
		shown(shorten(l.WrittenBy, 100)), shorten(l.Reason, 2000), shorten(cameFrom(l.DeadLetter), 200), shorten(l.Key, 600))
	if l.StoppedGeneration != nil {
		fmt.Fprintf(&b, "stopped   generation %d of the order\n", *l.StoppedGeneration)
	}
	if l.Redrives > 0 {
		fmt.Fprintf(&b, "redrives  its record was sent back %s before, and came back\n", counted(l.Redrives, "time"))
	}
	if l.DecidedAt != nil {
		fmt.Fprintf(&b, "decided   %s by %s: %s\n", shownTime(*l.DecidedAt, time.RFC3339), shorten(textOf(l.DecidedBy), 100), shorten(textOf(l.Decision), 600))
	}
	b.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(l.Headers)) {
		fmt.Fprintf(&b, "%s: %s\n", shorten(name, 200), shorten(l.Headers[name], 2000))
	}
	text, whole := shownContent(l.Value, l.Other)
	fmt.Fprintf(&b, "\n%s\n", text)
	if !whole {
		fmt.Fprintf(&b, "… %d bytes in all: erpconnector deadletter show %d --value\n", l.Bytes, l.Id)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
