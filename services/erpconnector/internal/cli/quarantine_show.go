package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// shownEntry is an entry of the quarantine with its event.
type shownEntry struct {
	client.QuarantineEntry

	Event    json.RawMessage `json:"event"`
	Other    []byte          `json:"event_base64"` // in place of an event that is not JSON
	Withheld string          `json:"withheld"`     // why there is neither
}

// quarantineShowCommand prints a customer's data, which list does not.
func quarantineShowCommand(r *remote) *cobra.Command {
	var payload bool
	var output string
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one event with everything that is wrong with it", Args: cobra.ExactArgs(1),
		Example: "  erpconnector quarantine show 7\n  erpconnector quarantine show 7 --payload > event.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "quarantine list")
			if err = errors.Join(err, checkTextOrJSON(output)); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error {
				if payload {
					return c.printBytes(cmd, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
						return c.ShowQuarantinedEvent(ctx, ids[0], edit)
					})
				}
				var e shownEntry
				return c.printThing(cmd, output, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ShowQuarantined(ctx, ids[0], edit)
				}, &e, func(w io.Writer) error { return printEntry(w, e) })
			})
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the event alone, byte for byte as it was published: to correct it and send it with --event")
	textOrJSON(cmd, &output)
	cmd.MarkFlagsMutuallyExclusive("payload", "output")
	return cmd
}

// printThing makes a request about one thing, reads the answer into thing, and has it printed for people, or prints the answer for programs.
func (c connector) printThing(cmd *cobra.Command, output string, do request, thing any, print func(io.Writer) error) error {
	raw, err := c.get(cmd.Context(), do, nil, thing)
	switch {
	case err != nil:
		return err
	case output == "json":
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", raw)
		return err
	}
	return print(cmd.OutOrStdout())
}

// printBytes makes a request whose answer is what others wrote, and prints that.
func (c connector) printBytes(cmd *cobra.Command, do request) error {
	content, err := c.bytes(cmd.Context(), do)
	if err != nil {
		return err
	}
	return printBytes(cmd.OutOrStdout(), content)
}

// printBytes prints what others wrote byte for byte, except on a terminal, which would obey what stands in it.
func printBytes(w io.Writer, content []byte) error {
	if onTerminal(w) {
		content = []byte(strings.TrimSuffix(domain.PrintableLines(string(content)), "\n") + "\n")
	}
	_, err := w.Write(content)
	return err
}

const showBytes = 4 << 10 // of what others wrote; --payload and --value print all of it

// shownContent is what others wrote as a person reads it: JSON with a line for each member, and anything else with escapes. whole is false when it
// is cut.
func shownContent(asJSON json.RawMessage, other []byte) (text string, whole bool) {
	content := other
	if asJSON != nil {
		var lines bytes.Buffer
		_ = json.Indent(&lines, asJSON, "", "  ") // it was read from an answer, so it is JSON
		content = lines.Bytes()
	}
	if whole = len(content) <= showBytes; !whole {
		content = content[:showBytes]
	}
	return domain.PrintableLines(string(content)), whole
}

// printEntry ends with the commands that come next, with this entry's id in them.
func printEntry(w io.Writer, e shownEntry) error {
	var b strings.Builder
	first := "published   "
	if e.Door == client.QuarantineDoor(ingest.QuarantineHTTP) {
		first = "refused     "
	}
	fmt.Fprintf(&b, "id             %d\ndoor           %s\nshop           %s\nevent          %s\n"+first+"   %s\nlast refused   %s (%s)\nreason         %s\n",
		e.Id, e.Door, domain.Printable(e.Source), domain.Printable(textOf(e.EventId)), shownTime(e.Since, time.RFC3339), shownTime(e.LastRefusedAt, time.RFC3339), counted(e.Tries, "time"), e.Code)
	for _, wrong := range e.Errors {
		fmt.Fprintf(&b, "  %s\n", domain.Printable(wrongText(wrong)))
	}
	if e.DiscardedAt != nil {
		fmt.Fprintf(&b, "discarded      %s by %s: %s\n", shownTime(*e.DiscardedAt, time.RFC3339), shorten(textOf(e.DiscardedBy), 100), shorten(textOf(e.DiscardReason), 600))
	}
	text, whole := shownContent(e.Event, e.Other)
	if e.Withheld != "" {
		text = "not shown: " + asCommand(e.Withheld)
	}
	fmt.Fprintf(&b, "\n%s\n", text)
	if !whole {
		fmt.Fprintf(&b, "… %d bytes in all: erpconnector quarantine show %d --payload\n", e.Bytes, e.Id)
	}
	fmt.Fprintf(&b, "\nTo send it again:           erpconnector quarantine send %d\nTo correct it and send it:  erpconnector quarantine show %d --payload > event.json\n"+
		"                            erpconnector quarantine send %d --event event.json\n", e.Id, e.Id, e.Id)
	_, err := io.WriteString(w, b.String())
	return err
}
