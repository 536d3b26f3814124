// Package chromium shows pages to tests in a Chromium without a window. What a person does on a page stands beside the tests that do it.
package chromium

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// Tab is a tab of a window of the process's Chromium, with cookies and a storage of its own.
type Tab struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // of the tab: chromedp's way
	base string

	mu   sync.Mutex
	said []string // what the page has logged as an error or a warning, and what its policy has refused
}

// process is the one Chromium of this process, without a window that anybody sees: its start costs more than many a test does in it. It
// ends with the process.
var process = sync.OnceValues(func() (context.Context, error) {
	profile, err := testkit.Folder("c-") // short, as the path of a socket in it has 108 bytes at most
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.UserDataDir(profile), chromedp.Env("TMPDIR="+profile)) // it leaves files where it is killed
	for _, flag := range []string{"disable-background-networking", "disable-component-update", "disable-sync"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	// It starts no process for a page to come, and keeps none for a page that is gone.
	options = append(options, chromedp.Flag("disable-features", "Translate,BackForwardCache,SpareRendererForSitePerProcess"))
	ctx, _ := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ = chromedp.NewContext(ctx)
	return ctx, chromedp.Do(ctx)
})

// program is the browser of this machine, empty where there is none.
func program() string {
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start opens a window for the pages at a base URL, which shares nothing with others. Where there is no browser the test is not run, and the
// report says so.
func Start(t *testing.T, base string) *Tab {
	t.Helper()
	if program() == "" {
		testkit.NotRun(t, "the console in a browser", "no chromium on this machine")
	}
	parent, err := process()
	require.NoError(t, err)
	return open(parent, t, base, chromedp.WithNewBrowserContext())
}

// Another opens another tab of the same person.
func (tab *Tab) Another() *Tab {
	tab.t.Helper()
	return open(tab.ctx, tab.t, tab.base)
}

// open opens a tab that is closed with the test.
func open(parent context.Context, t *testing.T, base string, options ...chromedp.ContextOption) *Tab {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
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
	value, err := evaluate[T](tab, script)
	require.NoError(tab.t, err, script)
	return value
}

func evaluate[T any](tab *Tab, script string) (T, error) {
	ctx, cancel := context.WithTimeout(tab.ctx, testkit.Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// Open goes to a path, as by the address line, and loads the page also where it differs from the one before by its fragment alone.
func (tab *Tab) Open(path string) {
	tab.t.Helper()
	steps := []chromedp.Action[chromedp.Void]{chromedp.Navigate(tab.base + path)}
	page, _, _ := strings.Cut(tab.base+path, "#")
	if Evaluate[string](tab, `location.href.split('#')[0]`) == page {
		steps = append(steps, chromedp.Reload())
	}
	tab.Do(steps...)
}

// Until waits until a condition in JavaScript holds.
func (tab *Tab) Until(condition string) {
	tab.t.Helper()
	testkit.Eventually(tab.t, func() bool { return tab.comesTrue(condition) }, "%s does not become true: %v", condition, testkit.Lazily(func() string {
		return Evaluate[string](tab, `location.href + '\n' + document.body?.innerText`)
	}))
}

// comesTrue waits for up to a second. The page itself looks, as often as somebody who reads it would: each look from here would cost the
// machine some ten times of that. It has not come true where the page went elsewhere meanwhile.
func (tab *Tab) comesTrue(condition string) bool {
	tab.t.Helper()
	holds, err := evaluate[bool](tab, `(async () => {
		for (const end = performance.now() + 1000; ; await new Promise((later) => setTimeout(later, 20))) {
			const holds = Boolean(`+condition+`);
			if (holds || performance.now() > end) return holds;
		}
	})()`)
	var gone *cdproto.Error
	if errors.As(err, &gone) {
		return false
	}
	require.NoError(tab.t, err, condition)
	return holds
}

// Reads waits until the page shows a text.
func (tab *Tab) Reads(text string) {
	tab.t.Helper()
	tab.Until(fmt.Sprintf(`document.body?.innerText.includes(%q)`, text))
}
