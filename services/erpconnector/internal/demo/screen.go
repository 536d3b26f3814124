package demo

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// screen shows lines as they come, and below them one status line: on a terminal it is rewritten in place, elsewhere it
// is printed now and then. It is safe for concurrent use.
type screen struct {
	out      io.Writer
	terminal int // file descriptor; -1: none

	mu    sync.Mutex
	line  string // the status line
	shown string // as last printed
	at    time.Time
	noted map[string]int
}

const (
	notesOfAKind  = 8               // more would push everything else off the screen
	plainInterval = 5 * time.Second // status lines where they cannot be rewritten
	eraseLine     = "\r\x1b[K"
)

// newScreen shows the first status line after a while only where it cannot rewrite it.
func newScreen(out io.Writer) *screen {
	s := &screen{out: out, terminal: -1, noted: map[string]int{}, at: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a file descriptor is small
		s.terminal = int(f.Fd()) //nolint:gosec // see above
	}
	return s
}

// print shows a line, or several.
func (s *screen) print(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal >= 0 {
		_, _ = fmt.Fprint(s.out, eraseLine)
	}
	_, _ = fmt.Fprintln(s.out, domain.PrintableLines(fmt.Sprintf(format, args...))) // the connector's answers may hold anything
	s.draw()
}

// note shows what happened to one event or order, unless there were many of the kind already.
func (s *screen) note(kind, format string, args ...any) {
	s.mu.Lock()
	s.noted[kind]++
	n := s.noted[kind]
	s.mu.Unlock()
	switch {
	case n < notesOfAKind:
		s.print("%-8s %s", kind, fmt.Sprintf(format, args...))
	case n == notesOfAKind:
		s.print("%-8s %s\n%-8s (further ones are only counted)", kind, fmt.Sprintf(format, args...), "")
	}
}

// status replaces the status line.
func (s *screen) status(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = line
	if s.terminal >= 0 {
		s.draw()
		return
	}
	if line != s.shown && time.Since(s.at) >= plainInterval {
		s.shown, s.at = line, time.Now()
		_, _ = fmt.Fprintln(s.out, line)
	}
}

// clear takes the status line away.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line = ""
	if s.terminal >= 0 {
		_, _ = fmt.Fprint(s.out, eraseLine)
	}
}

// draw cuts the line to the terminal's width: a longer one would wrap, and could not be erased.
func (s *screen) draw() {
	if s.terminal < 0 || s.line == "" {
		return
	}
	line := s.line
	if width, _, err := term.GetSize(s.terminal); err == nil && utf8.RuneCountInString(line) >= width && width > 0 {
		line = string([]rune(line)[:width-1])
	}
	_, _ = fmt.Fprint(s.out, eraseLine, line)
}
