package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// browser is a window of the process's Chromium, with cookies and a storage of its own.
type browser struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // of the tab: chromedp's way
	base string

	mu   sync.Mutex
	said []string // what the page has logged as an error or a warning, and what its policy has refused
}

// chromium is the one of this process, without a window that anybody sees: its start costs more than many a test does in it. It ends
// with the process.
var chromium = sync.OnceValues(func() (context.Context, error) {
	profile, err := testkit.Folder("c-") // short, as the path of a socket in it has 108 bytes at most
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromiumProgram()), chromedp.NoSandbox, chromedp.DisableGPU,
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

// chromiumProgram is the path of the browser, empty where there is none.
func chromiumProgram() string {
	for _, name := range []string{"chromium", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// browse opens a window that shares nothing with others; where there is no browser the test is not run, and the report says so.
func browse(t *testing.T, base string) *browser {
	t.Helper()
	if chromiumProgram() == "" {
		testkit.NotRun(t, "the console in a browser", "no chromium on this machine")
	}
	process, err := chromium()
	require.NoError(t, err)
	return opened(t, process, base, chromedp.WithNewBrowserContext())
}

// opened is a tab that is closed with the test.
func opened(t *testing.T, parent context.Context, base string, options ...chromedp.ContextOption) *browser {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(parent, options...)
	t.Cleanup(closeTab)
	b := &browser{t: t, ctx: ctx, base: base}
	require.NoError(t, chromedp.Listen(ctx, b.note))
	return b
}

// tab is another tab of the same person.
func (b *browser) tab() *browser {
	b.t.Helper()
	return opened(b.t, b.ctx, b.base)
}

// note keeps what should not be said. A request that is refused is logged too; what the page makes of it is what counts.
func (b *browser) note(event any) {
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
	b.mu.Lock()
	defer b.mu.Unlock()
	b.said = append(b.said, said)
}

// clean requires that the page has logged no error.
func (b *browser) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(b.t, b.said)
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, testkit.Patience)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// open goes to a path, as by the address line, and loads the page also where it differs from the one before by its fragment alone.
func (b *browser) open(path string) {
	b.t.Helper()
	steps := []chromedp.Action[chromedp.Void]{chromedp.Navigate(b.base + path)}
	page, _, _ := strings.Cut(b.base+path, "#")
	if evaluate[string](b, `location.href.split('#')[0]`) == page {
		steps = append(steps, chromedp.Reload())
	}
	b.do(steps...)
}

// evaluate runs JavaScript in the page.
func evaluate[T any](b *browser, script string) T {
	b.t.Helper()
	value, err := evaluated[T](b, script)
	require.NoError(b.t, err, script)
	return value
}

func evaluated[T any](b *browser, script string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, testkit.Patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// reads waits until the page shows a text.
func (b *browser) reads(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.body?.innerText.includes(%q)`, text))
}

// until waits until a condition in JavaScript holds.
func (b *browser) until(condition string) {
	b.t.Helper()
	testkit.Eventually(b.t, func() bool { return b.comesTrue(condition) }, "%s does not become true: %v", condition, lazily(func() string {
		return evaluate[string](b, `location.href + '\n' + document.body?.innerText`)
	}))
}

// comesTrue waits for up to a second. The page itself looks, as often as somebody who reads it would: each look from here would cost the
// machine some ten times of that. It has not come true where the page went elsewhere meanwhile.
func (b *browser) comesTrue(condition string) bool {
	b.t.Helper()
	holds, err := evaluated[bool](b, `(async () => {
		for (const end = performance.now() + 1000; ; await new Promise((later) => setTimeout(later, 20))) {
			const holds = Boolean(`+condition+`);
			if (holds || performance.now() > end) return holds;
		}
	})()`)
	var gone *cdproto.Error
	if errors.As(err, &gone) {
		return false
	}
	require.NoError(b.t, err, condition)
	return holds
}

// press types keys; the page decides what they go to. A letter is sent with its key, so that a page that takes the key for itself
// keeps the letter out of its fields, as it does with a person's.
func (b *browser) press(keys string) {
	b.t.Helper()
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for _, r := range keys {
			events := kb.Encode(r)
			if len(events) == 3 {
				events[0].Text = events[1].Text
				events = slices.Delete(events, 1, 2)
			}
			for _, e := range events {
				if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, *e); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// click clicks the first element of a CSS selector.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector(%q)`, selector))
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// clickOn clicks the element of a CSS selector whose text begins so; what only a screen reader says counts too.
func (b *browser) clickOn(selector, text string) {
	b.t.Helper()
	found := fmt.Sprintf(`[...document.querySelectorAll(%q)].find((e) => e.textContent.trim().startsWith(%q) && !e.disabled)`, selector, text)
	b.until(found)
	evaluate[bool](b, found+`?.click() ?? true`)
}

// fill writes into the field of a question, once that has opened: what opens takes the focus.
func (b *browser) fill(name, value string) {
	b.t.Helper()
	field := fmt.Sprintf(`document.querySelector('dialog:modal [name=%s]')`, name)
	b.until(field)
	evaluate[bool](b, field+`.focus() ?? true`)
	evaluate[bool](b, field+`.select() ?? true`)
	b.press(value)
}

// signIn signs in as a person does.
func (b *browser) signIn(token string) {
	b.t.Helper()
	b.until(`document.activeElement?.id === 'token'`)
	b.press(token + kb.Enter)
}

// prefers sets what the system's theme is, and how wide the window.
func (b *browser) prefers(theme string, width int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		return err
	}))
}

var images = flag.String("console.images", "", "a folder: write what each page of the console looks like into it")

// shoot writes what the window shows, if somebody wants to look at it.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if *images == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, testkit.Patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	name = strings.NewReplacer("/", "-", "#", "-", "&", "-").Replace(name)
	require.NoError(b.t, os.WriteFile(filepath.Join(*images, name+".png"), png, 0o600))
}

// axe is axe-core 4.14.1 (MPL-2.0), which finds what people cannot see, reach or read.
//
//go:embed testdata/axe/axe.min.js
var axe string

// isAccessible requires that axe finds nothing wrong with the page as it is.
func (b *browser) isAccessible(what string) {
	b.t.Helper()
	if !evaluate[bool](b, `typeof axe !== 'undefined'`) {
		evaluate[any](b, axe+`;null`)
	}
	found := evaluate[string](b, `axe.run({resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})
		.then((r) => JSON.stringify(r.violations.map((v) => ({rule: v.id, help: v.help, nodes: v.nodes.map((n) => n.html + ' ' + n.failureSummary)}))))`)
	var violations []any
	require.NoError(b.t, json.Unmarshal([]byte(found), &violations))
	require.Empty(b.t, violations, what)
}
