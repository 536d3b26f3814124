package e2e

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// consolePages are the pages by their paths, with what each shows when it is there.
var consolePages = map[string]string{
	"overview":                    "takes calls",
	"orders":                      "000000124",
	"orders/1":                    "Failed after attempt",
	"failures":                    "Resend",
	"quarantine":                  "Correct …",
	"dead-letters":                "No dead letter is open.",
	"live":                        "What happens to orders, as it happens.",
	"alerts":                      "Open",
	"alerts#show=destinations":    "There is no destination",
	"users":                       "There is no user.",
	"users/7":                     "There is no such user",
	"audit":                       "Nobody has asked for one yet.",
	"settings":                    "retry_max_attempts",
	"tokens":                      "Also those that are revoked or expired",
	"orders#q=no+such+order":      "No order matches.",
	"orders#limit=1&sort=nonsens": "correct the query's parameters",
	"nothing":                     "There is no such page.",
}

// Each page can be read, seen and used by everybody, in both themes and on a phone, and none logs an error.
func TestConsolePagesAreAccessible(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	b := browse(t, p.base)
	b.open("/console")
	b.until(`document.activeElement?.id === 'token'`)
	b.isAccessible("sign-in")
	b.signIn("token")
	b.reads("Overview")
	for path, shows := range consolePages {
		for theme, width := range map[string]int64{"light": 1280, "dark": 390} {
			b.prefers(theme, width)
			b.open("/console/" + path)
			b.reads(shows)
			b.isAccessible(path + " " + theme)
			b.shoot(path + "-" + theme)
			require.True(t, evaluate[bool](b, `[...document.querySelectorAll('details.menu')].every((menu) => {
				menu.open = true;
				const { left, right } = menu.lastElementChild.getBoundingClientRect();
				menu.open = false;
				return left >= 0 && right <= innerWidth;
			})`), "a menu of %s is cut off", path)
			require.Empty(t, evaluate[[]string](b, tooWide), "%s is wider than a window of %d", path, width)
		}
	}
	b.prefers("light", 1280)
	b.open("/console/orders/1")
	b.click(`[data-action=newKey]`)
	b.reads("under a new key?")
	b.isAccessible("a question")
	b.clean()
}

// tooWide says what reaches out of the window once each time reads as long as one may.
const tooWide = `(() => {
	document.querySelectorAll('time').forEach((one) => { one.textContent = '2026-11-30 23:59:59'; });
	if (document.documentElement.scrollWidth <= innerWidth) return [];
	return [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML.slice(0, 100));
})()`

// Whatever somebody without rights clicks, it ends in a sentence: no stack, no blank page. The test walks all pages that a link leads to, so
// a new page is covered without a change here.
func TestAReaderClicksEverything(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	p.withUser("reader", httpapi.ResourceViewStatus)
	p.withUser("nobody", httpapi.ResourcePublish)
	p.withShopUser("shop", "default", httpapi.ResourceViewStatus)
	for name, shows := range map[string]string{"reader": "Overview", "shop": "Overview", "nobody": "Nothing to see here"} {
		b := browse(t, p.base)
		b.open("/console")
		b.logIn(name, passwordOf(name))
		b.reads(shows)
		b.clicksEverything(slices.Collect(maps.Keys(consolePages)))
		b.clean()
	}
	status, order := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/000000123", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "failed", order["status"], "nothing was done")
}

// mostPages bounds a walk: each filter makes another address.
const mostPages = 40

// clicksEverything opens the pages and all others that their links lead to. On each it clicks all that can be clicked, submits each question
// as it is, and requires that a sentence stands there.
func (b *browser) clicksEverything(paths []string) {
	b.t.Helper()
	known := map[string]bool{}
	for _, path := range paths {
		known["/console/"+path] = true
	}
	waiting := slices.Sorted(maps.Keys(known))
	for len(waiting) > 0 {
		path := waiting[0]
		waiting = waiting[1:]
		b.open(path)
		b.until(`document.querySelector('main')?.innerText.length > 5`)
		for _, link := range evaluate[[]string](b, clickAll) {
			if !known[link] && len(known) < mostPages {
				known[link] = true
				waiting = append(waiting, link)
			}
		}
		text := evaluate[string](b, `document.body.innerText`)
		require.Greater(b.t, len(evaluate[string](b, `document.querySelector('main').innerText`)), 5, path)
		require.NotContains(b.t, text, "This part of the page has an error", path)
		require.NotRegexp(b.t, `(?i)undefined|\[object|NaN|TypeError|stack|goroutine`, text, path)
	}
}

// clickAll clicks what can be clicked and leaves no page: each button and summary, those of a question that opens too. It returns the links of
// the console, without those that only sort or page. Signing out comes last of all, so it is left to a test of its own.
const clickAll = `(async () => {
	const pause = () => new Promise((done) => setTimeout(done, 50));
	const links = [...document.querySelectorAll('a[href^="/console"]')].map((a) => new URL(a.href)).map((u) => u.pathname + u.hash);
	for (const one of [...document.querySelectorAll('button, summary')]) {
		if (!one.isConnected || one.disabled || one.textContent === 'Sign out') continue;
		one.click();
		await pause();
		for (let n = 0; n < 100 && document.querySelector('dialog:not(:modal)'); n++) await pause(); // it is about to open
		document.querySelector('dialog form')?.requestSubmit();
		await pause();
		[...document.querySelectorAll('dialog button')].find((b) => ['Cancel', 'Close'].includes(b.textContent))?.click();
	}
	return links;
})()`
