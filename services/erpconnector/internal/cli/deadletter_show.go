package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/kafka"
)

// letterRecord is a dead letter with its record.
type letterRecord struct {
	client.DeadLetter

	Headers map[string]string `json:"headers"`
	Value   json.RawMessage   `json:"value"`
	Other   []byte            `json:"value_base64"` // in place of a value that is not JSON
}

// value is the record's value, byte for byte on the stores. In an answer JSON has lost the spaces between its words.
func (l letterRecord) value() []byte {
	if l.Other != nil {
		return l.Other
	}
	return l.Value
}

func deadletterShowCommand(r *remote) *cobra.Command {
	var value bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its record, which may hold a customer's data", Args: cobra.ExactArgs(1),
		Example: "  erpconnector deadletter show 17\n  erpconnector deadletter show 17 --value > record",
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "deadletter list")
			if err != nil {
				return err
			}
			l, err := showLetter(cmd.Context(), r, ids[0])
			if err != nil {
				return err
			}
			if value {
				return printBytes(cmd.OutOrStdout(), l.value())
			}
			return printLetter(cmd.OutOrStdout(), l)
		},
	}
	cmd.Flags().BoolVar(&value, "value", false,
		"print the record's value alone, byte for byte (over HTTP JSON comes without the spaces between its words); a terminal gets it with escapes")
	return cmd
}

// showLetter reads the topic itself on the stores, since an answer in JSON does not keep each byte.
func showLetter(ctx context.Context, r *remote, id int64) (l letterRecord, err error) {
	if r.onStores(ctx) {
		err = withLog(ctx, func(_ config.Config, brokers kafka.Config, pool *pgxpool.Pool) error {
			l, err = readLetter(ctx, brokers, pool, id)
			return err
		})
		return l, err
	}
	err = r.ask(ctx, func(c connector) error {
		_, err := c.get(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.ShowDeadLetter(ctx, id, edit)
		}, nil, &l)
		return err
	})
	return l, err
}

// readLetter asks the table first. An id that is not there is told at once, and not after the brokers' time-out.
func readLetter(ctx context.Context, brokers kafka.Config, pool *pgxpool.Pool, id int64) (letterRecord, error) {
	e, err := deadletter.Get(ctx, pool, id)
	if err != nil {
		return letterRecord{}, err
	}
	record, err := deadletter.Fetch(ctx, brokers, e.Letter)
	if err != nil {
		return letterRecord{}, err
	}
	return letterRecord{DeadLetter: letterOf(e), Headers: kafka.Headers(record), Other: record.Value}, nil
}

// letterOf is a dead letter as an answer has it.
func letterOf(e deadletter.Entry) client.DeadLetter {
	l := client.DeadLetter{
		Id: e.ID, State: client.DeadLetterState(e.State), WrittenAt: e.WrittenAt.UTC().Format(time.RFC3339), WrittenBy: string(e.By), Reason: e.Reason, Topic: e.Topic,
		Partition: int(e.Partition), Offset: e.Offset, Key: e.OrderKey, StoppedGeneration: e.Generation, Redrives: e.Redrives, DecidedBy: e.DecidedBy, Decision: e.Decision,
	}
	if e.DecidedAt != nil {
		l.DecidedAt = new(e.DecidedAt.UTC().Format(time.RFC3339))
	}
	return l
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
	content := l.value()
	if len(content) > showBytes {
		content = content[:showBytes]
	}
	fmt.Fprintf(&b, "\n%s\n", shorten(string(content), 8*showBytes))
	if len(content) < len(l.value()) {
		fmt.Fprintf(&b, "… %d bytes in all: erpconnector deadletter show %d --value\n", len(l.value()), l.Id)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
