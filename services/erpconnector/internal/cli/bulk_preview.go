package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// answersYes reads one line, or until ctx ends: what is typed at a terminal knows no context. io.EOF says that nobody is there to answer.
func answersYes(ctx context.Context, in io.Reader) (bool, error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n') // an end without a line is no yes
		line <- text
	}()
	select {
	case text := <-line:
		if text == "" {
			return false, io.EOF
		}
		return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(text))), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// printPreview says what would be done, the important first.
func printPreview(w io.Writer, b client.BulkPreview) error {
	var out strings.Builder
	atLeast := ""
	if b.AtLeast {
		atLeast = "at least "
	}
	fmt.Fprintf(&out, "%s%s", atLeast, counted(int(b.Orders), "order"))
	for _, v := range b.Value {
		fmt.Fprintf(&out, ", %s %s", v.GrandTotal, domain.Printable(v.Currency))
	}
	if int64(b.LookedAt) < b.Orders {
		fmt.Fprintf(&out, " (of the first %d)", b.LookedAt)
	}
	out.WriteString("\n")
	if b.Unknown != nil {
		fmt.Fprintf(&out, "%s of no known order\n", counted(*b.Unknown, "id"))
	}
	for _, r := range b.WouldRefuse {
		fmt.Fprintf(&out, "%s would be refused: their state is %s\n", counted(r.Orders, "order"), domain.Printable(strings.TrimPrefix(r.Code, "order_")))
	}
	if b.Canary > 0 && int64(b.Canary) < b.Orders {
		fmt.Fprintf(&out, "%s must succeed before the others go out\n", counted(b.Canary, "order"))
	}
	if b.OrdersPerSecond != nil && b.TakesSeconds != nil {
		fmt.Fprintf(&out, "about %s at %.3g a second, the ERP's pace of now\n", seconds(*b.TakesSeconds), *b.OrdersPerSecond)
	}
	if b.WaitsFor != nil {
		fmt.Fprintf(&out, "but each order %s\n", domain.Printable(*b.WaitsFor))
	}
	printSample(&out, b, atLeast)
	_, err := io.WriteString(w, out.String())
	return err
}

// printSample names some of the orders.
func printSample(out *strings.Builder, b client.BulkPreview, atLeast string) {
	var rows strings.Builder
	table := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
	for _, s := range b.Sample {
		_, _ = fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%s\n", s.SyncId, domain.Printable(s.Source), shorten(s.OrderIncrementId, 60), s.Status, shorten(textOf(s.LastError), 80))
	}
	_ = table.Flush() // into the text
	out.WriteString(withoutTrailingBlanks(rows.String()))
	if more := b.Orders - int64(len(b.Sample)); more > 0 && len(b.Sample) > 0 {
		fmt.Fprintf(out, "  … and %s%d more\n", atLeast, more)
	}
}
