package cli

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// outputs are the forms of -o. The table is for people, and may change; the others are for programs, and do not.
var outputs = []string{"table", "json", "ndjson", "csv"}

const outputUsage = "table, json (a list), ndjson (an object a line) or csv"

func checkOutput(output string) error {
	if !slices.Contains(outputs, output) {
		return fmt.Errorf("--output is %q; it must be %s", output, outputUsage)
	}
	return nil
}

// textOrJSON is -o of a command about one thing.
func textOrJSON(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "text or json")
	completeWords(cmd, "output", false, "text", "json")
}

func checkTextOrJSON(output string) error {
	if output != "text" && output != "json" {
		return fmt.Errorf("--output is %q; it must be text or json", output)
	}
	return nil
}

// column is one of a table: its name, as in the API's JSON, and how a row has it.
type column[T any] struct {
	name string
	cell func(T) string
}

// rowPrinter prints rows as they come, page by page.
type rowPrinter[T any] struct {
	w       io.Writer
	output  string
	columns []column[T]
	members []string // of a row, that are the columns in CSV; without them these are the table's
	colour  bool     // the table's heading is bold
	none    string   // in place of an empty table; empty: the names of its columns

	table *tabwriter.Writer
	text  strings.Builder // the table, before it is printed
	csv   *csv.Writer
	rows  int
}

// add prints a row, or keeps it until end where widths or brackets need that. raw is the row as the API answered it.
func (p *rowPrinter[T]) add(row T, raw json.RawMessage) error {
	p.begin()
	p.rows++
	switch p.output {
	case "ndjson":
		_, err := fmt.Fprintf(p.w, "%s\n", raw)
		return err
	case "json":
		before := ",\n "
		if p.rows == 1 {
			before = "["
		}
		_, err := fmt.Fprintf(p.w, "%s%s", before, raw)
		return err
	case "csv":
		cells, err := p.cells(row, spreadsheetSafe), error(nil)
		if p.members != nil {
			cells, err = membersOf(raw, p.members)
		}
		return errors.Join(err, p.csv.Write(cells))
	default:
		_, err := fmt.Fprintln(p.table, strings.Join(p.cells(row, domain.Printable), "\t"))
		return err
	}
}

// begin prints the names of the columns.
func (p *rowPrinter[T]) begin() {
	if p.table != nil || p.csv != nil {
		return
	}
	var names []string
	for _, c := range p.columns {
		names = append(names, c.name)
	}
	switch p.output {
	case "csv":
		p.csv = csv.NewWriter(p.w)
		if p.members != nil {
			names = p.members
		}
		_ = p.csv.Write(names) // told by Flush
	case "table":
		p.table = tabwriter.NewWriter(&p.text, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(p.table, strings.ToUpper(strings.ReplaceAll(strings.Join(names, "\t"), "_", " ")))
	}
}

// end prints what is left.
func (p *rowPrinter[T]) end() error {
	if p.rows == 0 && p.output == "table" && p.none != "" {
		_, err := fmt.Fprintln(p.w, p.none)
		return err
	}
	p.begin()
	switch p.output {
	case "json":
		end := "]\n"
		if p.rows == 0 {
			end = "[]\n"
		}
		_, err := io.WriteString(p.w, end)
		return err
	case "csv":
		p.csv.Flush()
		return p.csv.Error()
	case "table":
		_ = p.table.Flush() // into the text
		text := withoutTrailingBlanks(p.text.String())
		if p.colour {
			text = boldHeading(text)
		}
		_, err := io.WriteString(p.w, text)
		return err
	}
	return nil
}

// withoutTrailingBlanks drops what stands for empty cells at the end of a line.
func withoutTrailingBlanks(table string) string {
	var b strings.Builder
	for line := range strings.Lines(table) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

func (p *rowPrinter[T]) cells(row T, safe func(string) string) []string {
	cells := make([]string, len(p.columns))
	for i, c := range p.columns {
		cells[i] = safe(c.cell(row))
	}
	return cells
}

// spreadsheetSafe keeps a spreadsheet from taking what others wrote for a formula (OWASP, CSV injection).
func spreadsheetSafe(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// textOf is a value that may be missing.
func textOf[T any](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}
