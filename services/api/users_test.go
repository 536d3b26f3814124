package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/signature"
)

const support = `{"name": "Jane", "password": "correct horse battery", "resources": ["Escooter_ErpConnector::view_status"], "source": "outlet"}`

// refusalAnswer is what a problem says, as far as programs read it.
type refusalAnswer struct {
	Code, Message string
	Errors        []struct{ Pointer, Parameter, Code, Detail string }
}

// at sends a request to any path, with a token if there is one.
func (o *office) at(token, method, path, body string) *httptest.ResponseRecorder {
	o.t.Helper()
	r := httptest.NewRequestWithContext(o.t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	o.server.ServeHTTP(w, r)
	return w
}

func (o *office) login(username, password string) (token string, w *httptest.ResponseRecorder) {
	o.t.Helper()
	w = o.at("", http.MethodPost, loginPath, fmt.Sprintf(`{"username": %q, "password": %q}`, username, password))
	if w.Code == http.StatusOK {
		require.NoError(o.t, json.Unmarshal(w.Body.Bytes(), &token), "a JSON string, as in Magento")
	}
	return token, w
}

func TestUsersAreMadeChangedAndDeleted(t *testing.T) {
	t.Parallel()
	o := opened(t)
	var made shownUser
	require.Equal(t, http.StatusCreated, o.ask("first", http.MethodPost, "/users", support, &made))
	require.Equal(t, "api", made.CreatedBy)
	var p refusalAnswer
	require.Equal(t, http.StatusConflict, o.ask("first", http.MethodPost, "/users", support, &p))
	require.Equal(t, "user_name_taken", p.Code)
	require.Equal(t, http.StatusUnprocessableEntity, o.ask("first", http.MethodPost, "/users", `{"name": "x", "password": "short", "resources": [], "pasword": "y"}`, &p))
	require.Equal(t, http.StatusUnprocessableEntity, o.ask("first", http.MethodPatch, "/users/1", `{}`, nil))

	list := o.at("first", http.MethodGet, usersPath, "").Body.String()
	require.Contains(t, list, `"name":"Jane"`)
	require.NotContains(t, list, "argon2id")
	require.NotContains(t, list, "correct horse")

	token, w := o.login("jane", "correct horse battery")
	require.Equal(t, http.StatusOK, w.Code, w.Body)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Equal(t, http.StatusNotFound, o.ask(token, http.MethodGet, "/sync-status/1", "", nil))
	require.Equal(t, http.StatusForbidden, o.ask(token, http.MethodGet, "/users", "", nil))
	var tokens struct{ Tokens []shownToken }
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, "/tokens?user=1", "", &tokens))
	require.Len(t, tokens.Tokens, 1)
	require.EqualValues(t, 1, *tokens.Tokens[0].UserID)
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, "/tokens?all=true", "", &tokens))
	require.Empty(t, tokens.Tokens)
	require.Equal(t, http.StatusBadRequest, o.ask("first", http.MethodGet, "/tokens?user=jane", "", nil))

	var changed shownUser
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodPatch, "/users/1", `{"disabled": true}`, &changed))
	require.Equal(t, "api", *changed.DisabledBy)
	_, w = o.login("jane", "correct horse battery")
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodPatch, "/users/1", `{"disabled": false, "source": ""}`, &changed))
	require.Nil(t, changed.DisabledAt)
	require.Nil(t, changed.Source)

	require.Equal(t, http.StatusOK, o.ask("first", http.MethodDelete, "/users/1", "", nil))
	for _, path := range []string{"/users/1", "/users/99999999999999999999"} {
		require.Equal(t, http.StatusNotFound, o.ask("first", http.MethodDelete, path, "", &p))
		require.Equal(t, "user_not_found", p.Code)
		require.Equal(t, http.StatusNotFound, o.ask("first", http.MethodPatch, path, `{"disabled": true}`, nil))
	}
	o.pool.Close()
	require.Equal(t, http.StatusServiceUnavailable, o.ask("first", http.MethodGet, "/users", "", nil))
	_, w = o.login("jane", "correct horse battery")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
}

// Who may make users, and view orders, can neither make nor become somebody who may change the settings.
func TestNobodyMakesAUserAboveThemselves(t *testing.T) {
	t.Parallel()
	o := opened(t)
	clerk := o.make(`{"name": "clerk", "resources": ["Escooter_ErpConnector::tokens", "Escooter_ErpConnector::view_status"]}`).Token
	user := func(name, resource string) string {
		return fmt.Sprintf(`{"name": %q, "password": "correct horse battery", "resources": ["Escooter_ErpConnector::%s"]}`, name, resource)
	}
	var p refusalAnswer
	require.Equal(t, http.StatusUnprocessableEntity, o.ask(clerk, http.MethodPost, "/users", user("boss", "config"), &p))
	require.Equal(t, "forbidden", p.Errors[0].Code)
	require.Equal(t, http.StatusCreated, o.ask(clerk, http.MethodPost, "/users", user("viewer", "view_status"), nil))
	require.Equal(t, http.StatusCreated, o.ask("first", http.MethodPost, "/users", user("boss", "config"), nil))
	require.Equal(t, http.StatusUnprocessableEntity, o.ask(clerk, http.MethodPatch, "/users/1", `{"resources": ["Escooter_ErpConnector::config"]}`, nil))
	require.Equal(t, http.StatusOK, o.ask(clerk, http.MethodPatch, "/users/1", `{"password": "another password"}`, nil))
	for _, body := range []string{
		`{"password": "another password"}`, `{"resources": ["Escooter_ErpConnector::view_status"]}`, `{"source": "outlet"}`, `{"disabled": false}`,
		`{"disabled": true, "password": "another password"}`,
	} {
		require.Equal(t, http.StatusForbidden, o.ask(clerk, http.MethodPatch, "/users/2", body, &p), body)
		require.Equal(t, "forbidden", p.Code)
	}
	_, w := o.login("boss", "correct horse battery")
	require.Equal(t, http.StatusOK, w.Code, "nothing was changed")
	require.Equal(t, http.StatusOK, o.ask(clerk, http.MethodPatch, "/users/2", `{"disabled": true}`, nil), "as tokens can be revoked")
}

func TestLoginsThatAreRefused(t *testing.T) {
	t.Parallel()
	o := opened(t)
	require.Equal(t, http.StatusCreated, o.ask("first", http.MethodPost, "/users", support, nil))
	var p refusalAnswer
	said := map[string]string{}
	for _, name := range []string{"joe", "jane"} {
		_, w := o.login(name, "wrong password")
		for tries := 1; w.Code != http.StatusTooManyRequests; tries++ { // on a slow machine one more every ten seconds
			require.Less(t, tries, 30)
			require.Equal(t, http.StatusUnauthorized, w.Code)
			said[name] = w.Body.String()
			_, w = o.login(name, "wrong password")
		}
		require.NotEmpty(t, w.Header().Get("Retry-After"))
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		require.Equal(t, "login_limited", p.Code)
		require.Equal(t, signInRefused, p.Message)
	}
	require.Equal(t, said["joe"], said["jane"], "it is not told which is wrong")
	require.NoError(t, json.Unmarshal([]byte(said["jane"]), &p))
	require.Equal(t, signInRefused, p.Message)
	for body, status := range map[string]int{
		`{"username": "jane"}`: http.StatusUnprocessableEntity, `{"user": "jane", "password": "x"}`: http.StatusUnprocessableEntity, `no`: http.StatusBadRequest,
		`{"username": "", "password": ""}`: http.StatusUnprocessableEntity,
	} {
		require.Equal(t, status, o.at("", http.MethodPost, loginPath, body).Code, body)
	}
}

// A Magento client's paths name a store. Each route answers there as at its own path, for one shop.
func TestStoreCodesInPaths(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.listed()
	require.Equal(t, http.StatusCreated, o.ask("first", http.MethodPost, "/users", strings.Replace(support, `"outlet"`, `""`, 1), nil))
	w := o.at("", http.MethodPost, "/rest/default/V1/integration/admin/token", `{"username": "jane", "password": "correct horse battery"}`)
	var session string
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &session), w.Body.String())
	var page syncPage[map[string]any]
	read := func(path string) {
		t.Helper()
		w := o.at(session, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		page = syncPage[map[string]any]{}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
	}
	read("/rest/outlet/V1/erpconnector/syncs?fields=source")
	require.Equal(t, []map[string]any{{"source": "outlet"}}, page.Syncs)
	read("/rest/V1/erpconnector/syncs?fields=source")
	all := len(page.Syncs)
	read("/rest/all/V1/erpconnector/syncs?fields=source")
	require.Len(t, page.Syncs, all)
	read("/rest/default/V1/erpconnector/syncs?fields=source")
	require.Len(t, page.Syncs, all-1)
	require.Equal(t, http.StatusOK, o.at(session, http.MethodGet, "/rest/outlet/V1/erpconnector/syncs/2", "").Code)
	require.Equal(t, http.StatusNotFound, o.at(session, http.MethodGet, "/rest/outlet/V1/erpconnector/syncs/1", "").Code, "another shop's")

	var p refusalAnswer
	for path, body := range map[string]string{
		"/rest/outlet/V1/erpconnector/resync-order":  `{"orderIncrementId": "000000123", "source": "default"}`,
		"/rest/default/V1/erpconnector/cancel-order": `{"orderIncrementId": "000000123", "source": "outlet", "reason": "why"}`,
	} {
		w := o.at("first", http.MethodPost, path, body)
		require.Equal(t, http.StatusUnprocessableEntity, w.Code, path)
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
		require.Equal(t, "contradicts", p.Errors[0].Code)
		require.Contains(t, p.Errors[0].Detail, "the path names the shop")
	}
	w = o.at("first", http.MethodPost, "/rest/outlet/V1/erpconnector/resync-order?wait=0", `{"orderIncrementId": "000000999"}`)
	require.Equal(t, http.StatusNotFound, w.Code)
	require.Contains(t, w.Body.String(), `"source":"outlet"`)
	require.Equal(t, http.StatusBadRequest, o.at(session, http.MethodGet, "/rest/outlet/V1/erpconnector/sync-status/1?source=default", "").Code)
}

// placeholder is a variable of a route's pattern.
var placeholder = regexp.MustCompile(`{[^}]*}`)

// Each route that is served answers at the paths of stores as at its own: the store code is no part of any route.
func TestEachRouteIsServedUnderStoreCodes(t *testing.T) {
	t.Parallel()
	o := opened(t)
	for _, r := range o.routes {
		path := placeholder.ReplaceAllString(r.Path, "7")
		want := o.at("first", r.Method, path, "{").Code
		for _, store := range []string{"all", "default", "outlet"} {
			got := o.at("first", r.Method, strings.Replace(path, httpapi.BasePath[:len("/rest/")], "/rest/"+store+"/", 1), "{")
			require.Equal(t, want, got.Code, "%s %s of %s: %s", r.Method, r.Path, store, got.Body)
		}
	}
}

// The signature of a callback covers its body only: the path cannot say whose order it is about.
func TestACallbackAtAStoresPath(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.accepted(open(order, 1))
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/rest/default/V1/erpconnector/webhook", `{"orderIncrementId": "000000123", "status": "accepted"}`, http.StatusOK},
		{"/rest/all/V1/erpconnector/webhook", `{"orderIncrementId": "000000123", "status": "accepted"}`, http.StatusOK},
		{"/rest/outlet/V1/erpconnector/webhook", `{"orderIncrementId": "000000123", "status": "accepted"}`, http.StatusUnprocessableEntity},
		{"/rest/default/V1/erpconnector/webhook", `{"orderIncrementId": "000000123", "status": "accepted", "source": "outlet"}`, http.StatusUnprocessableEntity},
		{"/rest/outlet/V1/erpconnector/webhook", `{"orderIncrementId": "000000123", "status": "accepted", "source": "outlet"}`, http.StatusNotFound},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, c.path, strings.NewReader(c.body))
		r.Header.Set(signature.HeaderModule, signature.Module("secret", []byte(c.body)))
		w := httptest.NewRecorder()
		o.server.ServeHTTP(w, r)
		require.Equal(t, c.want, w.Code, "%s %s: %s", c.path, c.body, w.Body)
	}
}
