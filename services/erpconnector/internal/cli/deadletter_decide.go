package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/deadletter"
	"github.com/erpconnector/erpconnector/shared/orders"
)

// mostLetters are decided about by one request.
const mostLetters = 500

// decision is what a command does about dead letters: about one that is named, or about those that words select.
type decision struct {
	use, short, done, would, example string

	needsKafka bool
	one        func(ctx context.Context, c connector, id int64, body client.DecisionBody, edit client.RequestEditorFn) (*http.Response, error)
	all        func(ctx context.Context, c connector, body io.Reader, edit client.RequestEditorFn) (*http.Response, error)
}

// decisionFlags are what a decision is asked for.
type decisionFlags struct {
	words  deadletter.Words
	after  int64
	limit  int
	dryRun bool
	force  bool
	reason string
}

func deadletterRedriveCommand(r *remote) *cobra.Command {
	var f decisionFlags
	cmd := decideCommand(r, decision{
		use: "redrive [ID…]", short: "Send records back to where they came from, once the cause is gone",
		example: "  erpconnector deadletter redrive 17 --reason 'the cause is gone'\n  erpconnector deadletter redrive --cause 'no JSON' --dry-run",
		done:    "its record was sent back", would: "its record would be sent back", needsKafka: true,
		one: func(ctx context.Context, c connector, id int64, body client.DecisionBody, edit client.RequestEditorFn) (*http.Response, error) {
			return c.RedriveDeadLetter(ctx, id, body, edit)
		},
		all: func(ctx context.Context, c connector, body io.Reader, edit client.RequestEditorFn) (*http.Response, error) {
			return c.RedriveDeadLettersWithBody(ctx, jsonType, body, edit)
		},
	}, &f)
	cmd.Flags().BoolVar(&f.force, "force", false, "also a record that was sent back twice and came back")
	return cmd
}

func deadletterDiscardCommand(r *remote) *cobra.Command {
	return decideCommand(r, decision{
		use: "discard [ID…]", short: "Note that nothing more is to be done; an order that the letter has stopped stays failed",
		example: "  erpconnector deadletter discard 17 18 --reason 'of a test'\n  erpconnector deadletter discard --order 000000123 --reason 'of a test'",
		done:    "discarded", would: "would be discarded",
		one: func(ctx context.Context, c connector, id int64, body client.DecisionBody, edit client.RequestEditorFn) (*http.Response, error) {
			return c.DiscardDeadLetter(ctx, id, client.DiscardDeadLetterJSONRequestBody{Reason: body.Reason}, edit)
		},
		all: func(ctx context.Context, c connector, body io.Reader, edit client.RequestEditorFn) (*http.Response, error) {
			return c.DiscardDeadLettersWithBody(ctx, jsonType, body, edit)
		},
	}, &decisionFlags{})
}

// jsonType is the content type of a body that the command has put together itself.
const jsonType = "application/json"

// decideCommand decides about the letters that are named, or selected. What is refused does not keep it from the others.
func decideCommand(r *remote, d decision, f *decisionFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: d.use, Short: d.short, Example: d.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := parseIDs(args, "deadletter list")
			if err != nil {
				return err
			}
			if err := errors.Join(checkLetterWords(cmd, f.words), atLeastOne(f.limit)); err != nil {
				return err
			}
			if err := f.check(ids); err != nil {
				return err
			}
			ask := r.ask
			if d.needsKafka {
				ask = r.askWithKafka
			}
			return ask(cmd.Context(), func(c connector) error {
				if len(ids) > 0 {
					return d.named(cmd, c, ids, f)
				}
				return d.selected(cmd, c, f)
			})
		},
	}
	letterFlags(cmd, &f.words)
	cmd.Flags().Int64Var(&f.after, "after", -1, "of those that are selected, start after this id")
	cmd.Flags().IntVar(&f.limit, "limit", 100, "letters at most, of those that are selected")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "do nothing; say what would be done about those that are selected")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why; it is kept with the letter")
	return cmd
}

func (f *decisionFlags) check(ids []int64) error {
	switch {
	case len(ids) > 0 && !f.words.IsEmpty():
		return errors.New("name dead letters by their ids, or select them, not both")
	case len(ids) > 0 && f.dryRun:
		return errors.New("--dry-run goes with what selects dead letters, like --order; erpconnector deadletter show ID shows one")
	case len(ids) == 0 && f.words.IsEmpty():
		return errors.New("name dead letters by their ids, or select them by --topic, --cause, --source, --order, --since or --until")
	}
	if wrong := (orders.DeadLetterRequest{Reason: f.reason}).Check(); len(wrong) > 0 && !f.dryRun {
		return fmt.Errorf("--reason %s", wrong[0].Detail)
	}
	return nil
}

// named decides about one letter after the other.
func (d decision) named(cmd *cobra.Command, c connector, ids []int64, f *decisionFlags) (err error) {
	body := client.DecisionBody{Reason: f.reason}
	if f.force {
		body.Force = &f.force
	}
	for _, id := range ids {
		failed := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return d.one(ctx, c, id, body, edit)
		}, nil)
		if failed != nil {
			if !hasCode(failed, "dead_letter_refused") { // that names it
				failed = fmt.Errorf("dead letter %d: %w", id, failed)
			}
			err = errors.Join(err, failed)
			continue
		}
		_, printed := fmt.Fprintf(cmd.OutOrStdout(), "%d  %s\n", id, d.done)
		err = errors.Join(err, printed)
	}
	return err
}

// selected decides about letters that words select, a page by each request.
func (d decision) selected(cmd *cobra.Command, c connector, f *decisionFlags) error {
	body := map[string]any{"dry_run": f.dryRun}
	for name, word := range givenWords(cmd, deadletter.SelectingWords) {
		body[name] = word
	}
	if f.reason != "" {
		body["reason"] = f.reason
	}
	if f.force {
		body["force"] = true
	}
	if f.after >= 0 {
		body["cursor"] = strconv.FormatInt(f.after, 10)
	}
	sum := client.BulkAnswer{DryRun: f.dryRun}
	for left := f.limit; left > 0; {
		page, err := d.page(cmd.Context(), c, body, min(left, mostLetters))
		if err != nil {
			if len(sum.DeadLetters) > 0 {
				err = errors.Join(d.print(cmd, sum), err)
			}
			return err
		}
		if sum.Next == nil {
			sum.Selected = page.Selected
		}
		sum.DeadLetters, sum.Next = append(sum.DeadLetters, page.DeadLetters...), page.Next
		left -= len(page.DeadLetters)
		if page.Next == nil || len(page.DeadLetters) == 0 {
			break
		}
		body["cursor"] = *page.Next
	}
	return d.print(cmd, sum)
}

func (d decision) page(ctx context.Context, c connector, body map[string]any, limit int) (page client.BulkAnswer, err error) {
	body = maps.Clone(body)
	body["limit"] = limit
	raw, err := json.Marshal(body)
	if err != nil {
		return page, err
	}
	err = c.change(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
		return d.all(ctx, c, bytes.NewReader(raw), edit)
	}, &page)
	return page, err
}

// print says of each letter what became of it. What was refused is an error, and no error of a preview.
func (d decision) print(cmd *cobra.Command, r client.BulkAnswer) (err error) {
	var w strings.Builder
	done, refused := d.done, 0
	if r.DryRun {
		done = d.would
	}
	for _, l := range r.DeadLetters {
		said := done
		if l.Refused != nil {
			said = "refused: " + shorten(*l.Refused, 600)
			refused++
		}
		fmt.Fprintf(&w, "%d  %s  %s\n", l.Id, shown(shorten(l.Key, 60)), said)
	}
	fmt.Fprintf(&w, "%d of the %d selected: %s; %d refused\n", len(r.DeadLetters)-refused, r.Selected, done, refused)
	if r.Next != nil {
		fmt.Fprintf(&w, "there are more: %s\n", nextPage(cmd, nil, "after", *r.Next))
	}
	if _, err := io.WriteString(cmd.OutOrStdout(), w.String()); err != nil {
		return err
	}
	if refused > 0 && !r.DryRun {
		return fmt.Errorf("%s refused", counted(refused, "dead letter"))
	}
	return nil
}
