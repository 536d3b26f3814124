package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

// office is the whole API behind tokens.
type office struct {
	*caller
	server http.Handler
	routes []httpapi.Route
}

func opened(t *testing.T) *office {
	t.Helper()
	pool, log, settings := testkit.Postgres(t).Pool, slog.New(slog.NewTextHandler(t.Output(), nil)), setting.Fixed(setting.Defaults())
	store := access.NewStore(pool)
	all := slices.Concat(routes(pool, orders.New(pool, settings), kafka.Config{}, config.ERP{HMAC: "secret"}, settings, log), tokenRoutes(store, log),
		userRoutes(store, log), loginRoutes(config.HTTP{}, access.NewLogins(store), settings, log))
	server := httpapi.NewServer(config.HTTP{Token: "first"}, access.NewVerifier(store, log), all, nil, log)
	return &office{&caller{t: t, pool: pool}, server.Handler(), all}
}

// ask sends a request with a token; the answer's body is read into out unless that is nil.
func (o *office) ask(token, method, path, body string, out any) int {
	o.t.Helper()
	r := httptest.NewRequestWithContext(o.t.Context(), method, httpapi.BasePath+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	o.server.ServeHTTP(w, r)
	if out != nil {
		require.NoError(o.t, json.Unmarshal(w.Body.Bytes(), out), w.Body.String())
	}
	return w.Code
}

func (o *office) make(body string) shownToken {
	o.t.Helper()
	var made shownToken
	require.Equal(o.t, http.StatusCreated, o.ask("first", http.MethodPost, "/tokens", body, &made))
	require.NotEmpty(o.t, made.Token)
	return made
}

func TestTokensAreMadeListedAndRevoked(t *testing.T) {
	t.Parallel()
	o := opened(t)
	made := o.make(`{"name": "support", "resources": ["Escooter_ErpConnector::view_status", "Escooter_ErpConnector::tokens"]}`)
	require.Equal(t, "api", made.CreatedBy)
	var tokens struct {
		Tokens []shownToken `json:"tokens"`
	}
	require.Equal(t, http.StatusOK, o.ask(made.Token, http.MethodGet, "/tokens", "", &tokens))
	require.Len(t, tokens.Tokens, 1)
	require.Empty(t, tokens.Tokens[0].Token, "it is shown once")
	require.Equal(t, made.Hint, tokens.Tokens[0].Hint)

	var answer struct {
		Code   string `json:"code"`
		Errors []struct {
			Pointer, Code, Detail string
		} `json:"errors"`
	}
	status := o.ask(made.Token, http.MethodPost, "/tokens", `{"name": "more", "resources": ["Escooter_ErpConnector::view_status", "Escooter_ErpConnector::manage"]}`, &answer)
	require.Equal(t, http.StatusUnprocessableEntity, status, "nobody gives away what they do not hold")
	require.Equal(t, "/resources/1", answer.Errors[0].Pointer)
	require.Equal(t, "forbidden", answer.Errors[0].Code)
	require.Equal(t, http.StatusUnprocessableEntity, o.ask("first", http.MethodPost, "/tokens", `{"name": "x", "resources": [], "shop": "outlet"}`, nil))
	require.Equal(t, http.StatusConflict, o.ask("first", http.MethodPost, "/tokens", `{"name": "support", "resources": ["Escooter_ErpConnector::sync"]}`, &answer))
	require.Equal(t, "token_name_taken", answer.Code)
	require.Equal(t, http.StatusBadRequest, o.ask("first", http.MethodGet, "/tokens?all=yes", "", nil))

	var revoked shownToken
	require.Equal(t, http.StatusOK, o.ask(made.Token, http.MethodDelete, "/tokens/1", "", &revoked))
	require.Equal(t, "support", *revoked.RevokedBy)
	require.Equal(t, http.StatusNotFound, o.ask("first", http.MethodDelete, "/tokens/9", "", nil))
	require.Equal(t, http.StatusNotFound, o.ask("first", http.MethodDelete, "/tokens/99999999999999999999", "", nil))
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, "/tokens", "", &tokens))
	require.Empty(t, tokens.Tokens)
	require.Equal(t, http.StatusOK, o.ask("first", http.MethodGet, "/tokens?all=true", "", &tokens))
	require.Len(t, tokens.Tokens, 1)

	o.pool.Close()
	require.Equal(t, http.StatusServiceUnavailable, o.ask("first", http.MethodGet, "/tokens", "", nil))
	require.Equal(t, http.StatusServiceUnavailable, o.ask("first", http.MethodDelete, "/tokens/1", "", nil))
	require.Equal(t, http.StatusServiceUnavailable, o.ask("first", http.MethodPost, "/tokens", `{"name": "new", "resources": ["Escooter_ErpConnector::sync"]}`, nil))
}

// A token for one shop sees and changes that shop's orders, asks about that shop where it names none, and is told so of any other.
func TestATokenForOneShop(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.listed()
	o.accepted(open(order, 1))
	shop := o.make(`{"name": "outlet's desk", "resources": ["Escooter_ErpConnector::manage"], "source": "outlet"}`).Token
	var page syncPage[any]
	require.Equal(t, http.StatusOK, o.ask(shop, http.MethodGet, "/syncs?fields=source", "", &page))
	require.Equal(t, []any{map[string]any{"source": "outlet"}}, page.Syncs)
	var counts syncCounts
	require.Equal(t, http.StatusOK, o.ask(shop, http.MethodGet, "/syncs/counts", "", &counts))
	require.EqualValues(t, 1, counts.Total)
	var groups errorGroups
	require.Equal(t, http.StatusOK, o.ask(shop, http.MethodGet, "/syncs/errors", "", &groups))
	require.Len(t, groups.Errors, 1)
	require.EqualValues(t, 1, groups.Errors[0].Syncs)
	require.Equal(t, http.StatusOK, o.ask(shop, http.MethodGet, "/syncs/2", "", nil))
	require.Equal(t, http.StatusNotFound, o.ask(shop, http.MethodGet, "/syncs/1", "", nil), "another shop's")
	require.Equal(t, http.StatusNotFound, o.ask(shop, http.MethodGet, "/syncs/1/events", "", nil))
	var status map[string]any
	require.Equal(t, http.StatusNotFound, o.ask(shop, http.MethodGet, "/sync-status/000000123", "", &status))
	require.Equal(t, "outlet", status["source"], "it asks about its own shop")
	for _, path := range []string{"/syncs?source=default", "/syncs/counts?source=default", "/syncs/errors?source=default", "/sync-status/000000123?source=default", "/timeline/000000123?source=default", "/dead-letters", "/erp"} {
		require.Equal(t, http.StatusForbidden, o.ask(shop, http.MethodGet, path, "", nil), path)
	}
	for _, path := range []string{"/sync-order", "/resync-order", "/send-order-now", "/cancel-order", "/settle-order"} {
		require.Equal(t, http.StatusForbidden, o.ask(shop, http.MethodPost, path+"?wait=0", `{"orderIncrementId": "000000123", "source": "default", "reason": "why"}`, nil), path)
		require.Equal(t, http.StatusNotFound, o.ask(shop, http.MethodPost, path+"?wait=0", `{"orderIncrementId": "000000999", "reason": "why"}`, &status), path)
		require.Equal(t, "outlet", status["source"])
	}
}

// What a person does stands in the log under the name of the token.
func TestCommandsNameTheirToken(t *testing.T) {
	t.Parallel()
	o := opened(t)
	o.accepted(open(order, 1))
	jane := o.make(`{"name": "jane", "resources": ["Escooter_ErpConnector::manage"]}`).Token
	require.Equal(t, http.StatusOK, o.ask(jane, http.MethodPost, "/settle-order?wait=0", `{"orderIncrementId": "000000123", "reason": "booked by hand"}`, nil))
	var said string
	require.NoError(t, o.pool.QueryRow(t.Context(), `SELECT convert_from(payload, 'UTF8') FROM erp_outbox WHERE topic = 'vendor_erp_sync_callback'`).Scan(&said))
	require.Contains(t, said, "by jane")
}
