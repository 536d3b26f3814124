// Package chromium shows pages to tests in a Chromium without a window. What a person does on a page stands beside the tests that do it.
package chromium

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Tab is a tab of a browser that has a profile of its own.
type Tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // of the tab: chromedp's way
	base string

	mu   sync.Mutex
	said []string // what the page has logged as an error or a warning, and what its policy has refused
}

// Start starts a browser for the pages at a base URL. Where there is none the test is not run, and the report says so.
func Start(t *testing.T, base string) *Tab {
	t.Helper()
	profile, err := testkit.Folder("c-") // short, as the path of a socket in it has 108 bytes at most
	require.NoError(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program(t)), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(profile), chromedp.Env("TMPDIR="+profile)) // it leaves files where it is killed
	for _, flag := range []string{"disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	return open(ctx, t, base)
}

// program is the browser of this machine.
func program(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testkit.NotRun(t, "the console in a browser", "no chromium on this machine")
	return ""
}

// Another opens another tab of the same browser.
func (tab *Tab) Another() *Tab {
	tab.t.Helper()
	return open(tab.ctx, tab.t, tab.base)
}

func open(ctx context.Context, t *testing.T, base string) *Tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	tab := &Tab{t: t, ctx: ctx, base: base}
	require.NoError(t, chromedp.Listen(ctx, tab.note))
	return tab
}

// note keeps what should not be said. A request that is refused is logged too; what the page makes of it is what counts.
func (tab *Tab) note(event any) {
	said := ""
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" || e.Type == "assert" {
			for _, arg := range e.Args {
				said += string(arg.Value) + arg.Description
			}
		}
	case *runtime.EventExceptionThrown:
		said = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			said += e.ExceptionDetails.Exception.Description
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" && e.Entry.Source != "network" {
			said = e.Entry.Text
		}
	}
	if said == "" {
		return
	}
	tab.mu.Lock()
	defer tab.mu.Unlock()
	tab.said = append(tab.said, said)
}

// Clean requires that the page has logged no error.
func (tab *Tab) Clean() {
	tab.t.Helper()
	tab.mu.Lock()
	defer tab.mu.Unlock()
	require.Empty(tab.t, tab.said)
}

// Do takes steps one after the other.
func (tab *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, testkit.Patience)
	defer cancel()
	require.NoError(tab.t, chromedp.Do(ctx, steps...))
}

// Run takes a step that answers.
func Run[T any](tab *Tab, step chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, testkit.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, step)
	require.NoError(tab.t, err)
	return value
}

// Evaluate runs JavaScript in the page, and waits for what it promises.
func Evaluate[T any](tab *Tab, script string) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, testkit.Patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	require.NoError(tab.t, err, script)
	return value
}

// Open goes to a path, as by the address line.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	tab.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(tab.base+path))
}

// shown is what can be read on a page, for the message of a failure.
type shown struct{ text string }

// String is the address and the text.
func (s *shown) String() string { return s.text }

// Until waits until a condition in JavaScript holds.
func (tab *Tab) Until(condition string) {
	tab.t.Helper()
	var page shown
	testkit.Eventually(tab.t, func() bool {
		if Evaluate[bool](tab, `Boolean(`+condition+`)`) {
			return true
		}
		page.text = Evaluate[string](tab, `location.href + '\n' + document.body?.innerText`)
		return false
	}, "%s does not become true: %v", condition, &page)
}

// Reads waits until the page shows a text.
func (tab *Tab) Reads(text string) {
	tab.t.Helper()
	tab.Until(fmt.Sprintf(`document.body?.innerText.includes(%q)`, text))
}
