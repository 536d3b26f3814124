package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	barWidth    = 30
	barInterval = 100 * time.Millisecond
)

// bar shows on a terminal how far a long command is. Elsewhere it shows nothing.
type bar struct {
	out io.Writer // nil: nothing is shown
	at  time.Time
}

// newBar shows nothing where the records themselves go to the terminal: bar and records would write over each other.
func newBar(out io.Writer, wanted bool) *bar {
	if !wanted || !onTerminal(out) {
		return &bar{}
	}
	return &bar{out: out}
}

// draw always draws the last state, whenever the one before was drawn: a bar that stops at 97 % looks like a failure.
func (b *bar) draw(read, all int64) {
	if b.out == nil || (time.Since(b.at) < barInterval && read < all) {
		return
	}
	b.drawText(barText(read, all, "offsets"))
}

// drawText draws it, whenever the one before was drawn.
func (b *bar) drawText(text string) {
	if b.out == nil {
		return
	}
	b.at = time.Now()
	_, _ = fmt.Fprint(b.out, "\r\x1b[K"+text)
}

// clear takes the bar away, so that what comes next stands on a line of its own.
func (b *bar) clear() {
	if b.out != nil {
		_, _ = fmt.Fprint(b.out, "\r\x1b[K")
	}
}

// barText of an empty range is a full bar: there is nothing left to do.
func barText(read, all int64, of string) string {
	full, percent := barWidth, int64(100)
	read = min(read, all) // or there would be less than no space behind it
	if all > 0 {
		full, percent = int(read*barWidth/all), read*100/all
	}
	return fmt.Sprintf("[%s%s] %3d %%  %d of %d %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), percent, read, all, of)
}
