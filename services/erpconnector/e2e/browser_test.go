package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit/chromium"
)

// browser is a tab of the process's Chromium, and what a person does there.
type browser struct {
	*chromium.Tab

	t *testing.T
}

// browse opens a window that shares nothing with others; where there is no browser the test is not run, and the report says so.
func browse(t *testing.T, base string) *browser {
	t.Helper()
	return &browser{chromium.Start(t, base), t}
}

// tab is another tab of the same person.
func (b *browser) tab() *browser {
	b.t.Helper()
	return &browser{b.Another(), b.t}
}

// clean requires that the page has logged no error.
func (b *browser) clean() {
	b.t.Helper()
	b.Clean()
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	b.Do(steps...)
}

// open goes to a path, as by the address line.
func (b *browser) open(path string) {
	b.t.Helper()
	b.Open(path)
}

// evaluate runs JavaScript in the page.
func evaluate[T any](b *browser, script string) T {
	b.t.Helper()
	return chromium.Evaluate[T](b.Tab, script)
}

// reads waits until the page shows a text.
func (b *browser) reads(text string) {
	b.t.Helper()
	b.Reads(text)
}

// until waits until a condition in JavaScript holds.
func (b *browser) until(condition string) {
	b.t.Helper()
	b.Until(condition)
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
	png := chromium.Run(b.Tab, chromedp.CaptureScreenshot())
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
