package testkit

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience is how long a test waits for what must come. It is long, as the machine may be busy; a test that passes waits no
// longer than it must.
const Patience = time.Minute

// Eventually waits until the condition holds, and fails the test after Patience. The condition must stay true once it is: a state
// that passes between two looks is never seen on a busy machine.
func Eventually(t testing.TB, holds func() bool, format string, args ...any) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for began := time.Now(); !holds(); {
		select {
		case <-time.After(Pause(time.Since(began))):
		case <-deadline.C:
			t.Fatalf("not within %s: "+format, append([]any{Patience}, args...)...)
		}
	}
}

// Pause is how long a test that has waited so long pauses before it looks again. A look has its price, and tests that wait side by side
// would take the processors from what they wait for; a twentieth more is not noticed.
func Pause(waited time.Duration) time.Duration {
	return min(max(waited/20, 10*time.Millisecond), 50*time.Millisecond)
}

// Lazily is a text for the message of a failure, made when it is printed.
type Lazily func() string

// String makes the text.
func (l Lazily) String() string { return l() }

// Full reports whether the long forms of the suites were asked for, by ERPCONNECTOR_TEST_FULL=1. The ordinary run proves each
// thing once; the full one repeats what is proven on another broker too.
func Full() bool { return os.Getenv("ERPCONNECTOR_TEST_FULL") == "1" }

// Log collects what is written to it, from any number of goroutines.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all that was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines are the whole lines that were written so far, without their ends.
func (l *Log) Lines() []string {
	text := l.String()
	end := strings.LastIndexByte(text, '\n')
	if end < 0 {
		return nil
	}
	return strings.Split(text[:end], "\n")
}
