package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// logsIn tries a password of jane at Magento's login, and gives the status.
func (p *product) logsIn(password string) int {
	p.t.Helper()
	body := fmt.Sprintf(`{"username":"jane","password":%q}`, password)
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.base+"/rest/V1/integration/admin/token", strings.NewReader(body))
	require.NoError(p.t, err)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	require.NoError(p.t, err)
	require.NoError(p.t, resp.Body.Close())
	return resp.StatusCode
}

// Somebody gets a name and a password, gets another one, is shut out, let in again, and deleted; what is secret is shown once.
func TestUsersInTheConsole(t *testing.T) {
	t.Parallel()
	p := start(t, configured(t, testkit.EmbeddedBroker(t)))
	b := browse(t, p.base)
	b.open("/console/users")
	b.signIn("token")
	b.reads("There is no user.")
	b.clickOn("main button", "New user …")
	b.fill("name", "jane")
	b.click(`dialog input[value=view_status]`)
	b.isAccessible("a new user")
	b.clickOn("dialog button", "Make it")
	b.until(`document.querySelector('.secret')`)
	made := evaluate[string](b, `document.querySelector('.secret').innerText`)
	b.clickOn("dialog button", "Close")
	b.reads("Not signed in anywhere.")
	require.Equal(t, http.StatusOK, p.logsIn(made))

	user := evaluate[string](b, `location.pathname`)
	b.open(user)
	b.reads("erpc_")
	b.isAccessible("a user")
	b.clickOn("main button", "Revoke … jane")
	b.clickOn("dialog button", "Revoke")
	b.reads("Not signed in anywhere.")

	b.clickOn("main button", "Password …")
	b.fill("password", "short")
	b.press(kb.Enter)
	b.reads("password has 5 bytes; it must have 12 to 256")
	b.fill("password", "a longer password")
	b.press(kb.Enter)
	b.reads("jane has another password.")
	require.Equal(t, []int{http.StatusUnauthorized, http.StatusOK}, []int{p.logsIn(made), p.logsIn("a longer password")})

	b.clickOn("main button", "Disable …")
	b.clickOn("dialog button", "Disable")
	b.reads("jane is disabled.")
	require.Equal(t, http.StatusUnauthorized, p.logsIn("a longer password"))
	b.clickOn("main button", "Enable …")
	b.clickOn("dialog button", "Enable")
	b.reads("jane may sign in.")
	require.Equal(t, http.StatusOK, p.logsIn("a longer password"))

	b.clickOn("main button", "Rights …")
	b.until(`document.querySelector('dialog input[value=view_status]').checked`)
	b.click(`dialog input[value=resync]`)
	b.fill("source", "outlet")
	b.press(kb.Enter)
	b.reads("What jane may do is changed.")
	b.until(`document.querySelector('.facts').innerText.includes('resync, view_status') && document.querySelector('.facts').innerText.includes('outlet')`)
	b.clickOn("main button", "Delete …")
	b.clickOn("dialog button", "Delete")
	b.reads("There is no user.")
	b.open(user)
	b.reads("There is no such user; it may have been deleted.")
	b.clean()
}
