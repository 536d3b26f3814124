package cli

import (
	"context"
	"io"
	"strings"
)

// The colours of a terminal.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// coloured reports whether colours may be printed: to a terminal that has some, unless NO_COLOR is set (no-color.org).
func coloured(ctx context.Context, w io.Writer) bool {
	lookup := environment(ctx)
	no, _ := lookup("NO_COLOR")
	term, _ := lookup("TERM")
	return onTerminal(w) && no == "" && term != "dumb"
}

// levelColours are those of the words that begin a line of `doctor`.
var levelColours = map[string]string{"FAIL": red, "warn": yellow, "ok": green}

// colourLevels colours the word that begins a line, if it has a colour. A table is coloured when it stands: its columns count letters.
func colourLevels(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(line, " ")
		if colour := levelColours[word]; colour != "" {
			line = colour + word + plain + " " + rest
		}
		b.WriteString(line)
	}
	return b.String()
}

// boldHeading makes the first line of a table bold.
func boldHeading(text string) string {
	heading, rest, ok := strings.Cut(text, "\n")
	if !ok {
		return text
	}
	return bold + heading + plain + "\n" + rest
}
