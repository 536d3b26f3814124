package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/services/ingest"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// shownEntry is an entry of the quarantine with its event.
type shownEntry struct {
	client.QuarantineEntry

	Event    json.RawMessage `json:"event"`
	Other    []byte          `json:"event_base64"` // in place of an event that is not JSON
	Withheld string          `json:"withheld"`     // why there is neither
}

// payload is the event, byte for byte on the stores. In an answer JSON has lost the spaces between its words.
func (e shownEntry) payload() []byte {
	if e.Other != nil {
		return e.Other
	}
	return e.Event
}

// quarantineShowCommand prints a customer's data, which list does not.
func quarantineShowCommand(r *remote) *cobra.Command {
	var payload bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one event with everything that is wrong with it", Args: cobra.ExactArgs(1),
		Example: "  erpconnector quarantine show 7\n  erpconnector quarantine show 7 --payload > event.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "quarantine list")
			if err != nil {
				return err
			}
			e, err := showEntry(cmd.Context(), r, ids[0])
			switch {
			case err != nil:
				return err
			case !payload:
				return printEntry(cmd.OutOrStdout(), e)
			case e.Withheld != "":
				return errors.New(domain.Printable(e.Withheld))
			}
			return printBytes(cmd.OutOrStdout(), append(e.payload(), '\n'))
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the event alone, as it was published: to correct it and send it with --event")
	return cmd
}

// showEntry reads the table itself on the stores, since an answer in JSON does not keep each byte, and holds no event of any size.
func showEntry(ctx context.Context, r *remote, id int64) (e shownEntry, err error) {
	if r.onStores(ctx) {
		err = withDatabase(ctx, func(_ config.Config, pool *pgxpool.Pool) error {
			kept, err := ingest.QuarantineEntryOf(ctx, pool, id)
			e = entryOf(kept)
			return err
		})
		return e, err
	}
	err = r.ask(ctx, func(c connector) error {
		_, err := c.get(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.ShowQuarantined(ctx, id, edit)
		}, nil, &e)
		return err
	})
	return e, err
}

// entryOf is an entry as an answer has it.
func entryOf(kept ingest.QuarantineEntry) shownEntry {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	e := shownEntry{Other: kept.Payload, QuarantineEntry: client.QuarantineEntry{
		Id: kept.ID, Door: client.QuarantineDoor(kept.Door), State: client.QuarantineState(kept.State), Source: kept.Source, EventId: &kept.EventID, Code: string(kept.Code),
		Tries: kept.Tries, Since: at(kept.PublishedAt), LastRefusedAt: at(kept.QuarantinedAt), Bytes: kept.Bytes, DiscardedBy: kept.DiscardedBy, DiscardReason: kept.DiscardReason,
	}}
	for _, p := range kept.Problems {
		e.Errors = append(e.Errors, client.FieldError{Pointer: &p.Pointer, Code: &p.Code, Detail: p.Detail})
	}
	if kept.DiscardedAt != nil {
		e.DiscardedAt = new(at(*kept.DiscardedAt))
	}
	return e
}

// printBytes prints what others wrote byte for byte, except on a terminal, which would obey what stands in it.
func printBytes(w io.Writer, content []byte) error {
	if onTerminal(w) {
		content = []byte(domain.PrintableLines(string(content)))
	}
	_, err := w.Write(content)
	return err
}

const showBytes = 4 << 10 // of the event; --payload prints all of it

// printEntry ends with the commands that come next, with this entry's id in them.
func printEntry(w io.Writer, e shownEntry) error {
	var b strings.Builder
	first := "published   "
	if e.Door == client.QuarantineDoor(ingest.QuarantineHTTP) {
		first = "refused     "
	}
	fmt.Fprintf(&b, "id             %d\ndoor           %s\nshop           %s\nevent          %s\n"+first+"   %s\nlast refused   %s (%d times)\nreason         %s\n",
		e.Id, e.Door, domain.Printable(e.Source), domain.Printable(textOf(e.EventId)), shownTime(e.Since, time.RFC3339), shownTime(e.LastRefusedAt, time.RFC3339), e.Tries, e.Code)
	for _, wrong := range e.Errors {
		fmt.Fprintf(&b, "  %s\n", domain.Printable(wrongText(wrong)))
	}
	if e.DiscardedAt != nil {
		fmt.Fprintf(&b, "discarded      %s by %s: %s\n", shownTime(*e.DiscardedAt, time.RFC3339), shorten(textOf(e.DiscardedBy), 100), shorten(textOf(e.DiscardReason), 600))
	}
	event := e.payload()
	if e.Withheld != "" {
		event = []byte("not shown: " + e.Withheld)
	}
	rest := len(event) > showBytes
	if rest {
		event = event[:showBytes]
	}
	fmt.Fprintf(&b, "\n%s\n", domain.PrintableLines(string(event)))
	if rest {
		fmt.Fprintf(&b, "… %d bytes in all: erpconnector quarantine show %d --payload\n", e.Bytes, e.Id)
	}
	fmt.Fprintf(&b, "\nTo send it again:           erpconnector quarantine send %d\nTo correct it and send it:  erpconnector quarantine show %d --payload > event.json\n"+
		"                            erpconnector quarantine send %d --event event.json\n", e.Id, e.Id, e.Id)
	_, err := io.WriteString(w, b.String())
	return err
}
