package e2e

import (
	"fmt"
	"net/http"
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
			require.True(t, evaluate[bool](b, `[...document.querySelectorAll('details.menu')].every((menu) => {
				menu.open = true;
				const { left, right } = menu.lastElementChild.getBoundingClientRect();
				menu.open = false;
				return left >= 0 && right <= innerWidth;
			})`), "a menu of %s is cut off", path)
			require.False(t, evaluate[bool](b, `document.documentElement.scrollWidth > innerWidth`), "%s is wider than a window of %d", path, width)
		}
	}
	b.prefers("light", 1280)
	b.open("/console/orders/1")
	b.click(`[data-action=newKey]`)
	b.reads("under a new key?")
	b.isAccessible("a question")
	b.clean()
}

// Whatever a token without rights clicks, it gets a sentence: no stack, no blank page.
func TestAReaderClicksEverything(t *testing.T) {
	t.Parallel()
	p := troubled(t)
	token := func(name string, more map[string]any) string {
		body := map[string]any{"name": name, "resources": []string{"Escooter_ErpConnector::view_status"}}
		for key, value := range more {
			body[key] = value
		}
		status, made := p.do(http.MethodPost, httpapi.BasePath+"/tokens", body)
		require.Equal(t, http.StatusCreated, status, made)
		return fmt.Sprint(made["token"])
	}
	nobody := token("nobody", map[string]any{"resources": []string{"Escooter_ErpConnector::publish"}})
	for name, secret := range map[string]string{
		"reader": token("reader", nil), "one shop": token("one shop", map[string]any{"source": "default"}), "nobody": nobody,
	} {
		b := browse(t, p.base)
		b.open("/console")
		b.signIn(secret)
		b.until(`document.querySelector('main')`)
		for path := range consolePages {
			b.open("/console/" + path)
			b.until(`document.querySelector('main')?.innerText.length > 5`)
			clicked := evaluate[int](b, `(async () => {
				let n = 0;
				for (const button of [...document.querySelectorAll('main button, main summary')]) {
					if (button.isConnected && !button.disabled) { button.click(); n++; await new Promise((done) => setTimeout(done, 50)); }
					document.querySelector('dialog form')?.requestSubmit();
				}
				return n;
			})()`)
			require.NotEmpty(t, evaluate[string](b, `document.querySelector('main').innerText`), "%s %s %d", name, path, clicked)
			require.NotContains(t, evaluate[string](b, `document.body.innerText`), "This part of the page has an error", "%s %s", name, path)
			require.NotRegexp(t, `(?i)undefined|\[object|NaN|TypeError|stack|goroutine`, evaluate[string](b, `document.body.innerText`), "%s %s", name, path)
		}
		b.clean()
	}
	status, order := p.do(http.MethodGet, httpapi.BasePath+"/sync-status/000000123", nil)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "failed", order["status"], "nothing was done")
}
