package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// onATerminal writes as to a terminal of unknown width.
func onATerminal() (*screen, *bytes.Buffer) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.terminal = 1 << 20 // no such file: its width is unknown
	return s, &out
}

// On a terminal the status line stays below what is printed.
func TestTheStatusLineIsRewritten(t *testing.T) {
	t.Parallel()
	s, out := onATerminal()
	s.print("first")
	require.Equal(t, eraseLine+"first\n", out.String(), "there is no status yet")
	out.Reset()
	s.status("1 s")
	s.status("2 s")
	s.print("second %d", 2)
	s.clear()
	s.print("end")
	require.Equal(t, eraseLine+"1 s"+eraseLine+"2 s"+eraseLine+"second 2\n"+eraseLine+"2 s"+eraseLine+eraseLine+"end\n", out.String())
}

// Elsewhere, as in the log of a CI run, it is a line now and then, and never the same twice.
func TestTheStatusLineInAFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := newScreen(&out)
		for second := range 17 { // by the clock of the bubble: nobody waits
			s.status(fmt.Sprintf("%d s", second))
			time.Sleep(time.Second)
		}
		require.Equal(t, "5 s\n10 s\n15 s\n", out.String())
		out.Reset()
		for range 60 {
			s.status("the end")
			time.Sleep(time.Second)
		}
		s.clear()
		require.Equal(t, "the end\n", out.String())
	})
}

// Many of a kind would push everything else off the screen.
func TestNotesOfAKindAreFew(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	for n := range 20 {
		s.note("retry", "order %d", n)
	}
	s.note("failed", "order x")
	require.Equal(t, "retry    order 6\nretry    order 7\n         (further ones are only counted)\nfailed   order x\n", out.String()[strings.Index(out.String(), "retry    order 6"):])
	require.Equal(t, 10, strings.Count(out.String(), "\n"))
}

// What the connector answers may hold anything.
func TestAScreenObeysNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	s.print("a\n%s", "\x1b[2J\x07")
	s.note("failed", "%s", "\x1b]0;x\x07")
	require.Equal(t, "a\n"+`\x1b[2J\a`+"\n"+`failed   \x1b]0;x\a`+"\n", out.String())
}
