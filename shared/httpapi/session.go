package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// sessionCookie holds the token of somebody who has signed in to the console. Scripts cannot read it.
const sessionCookie = "erpconnector_session"

// SignIn answers a request that was authorized by its header with a cookie of the same token. From then on the browser's requests
// count as if they had the header. The cookie ends with the token, by SignOut, or with the browser's session.
func SignIn(w http.ResponseWriter, r *http.Request) {
	if token := bearerOf(r); token != "" { // with the cookie alone there is nothing to do
		cookie := newSessionCookie(r, base64.RawURLEncoding.EncodeToString([]byte(token)))
		if end := IdentityOf(r.Context()).ExpiresAt; end != nil {
			cookie.Expires = *end
		}
		http.SetCookie(w, cookie)
	}
	w.WriteHeader(http.StatusNoContent)
}

// SignOut takes the cookie away, whatever it holds.
func SignOut(w http.ResponseWriter, r *http.Request) {
	cookie := newSessionCookie(r, "")
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
	w.WriteHeader(http.StatusNoContent)
}

// newSessionCookie makes a cookie that never leaves the origin. A proxy may end TLS before us, so what the browser says of its own
// address counts too.
func newSessionCookie(r *http.Request, value string) *http.Cookie {
	return &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://"),
	}
}

// tokenOf is the token of a request; empty: it has none. A header counts before the cookie, and the cookie only for a request that
// comes from our own pages: the browser adds it to requests that other sites have made as well.
func tokenOf(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return bearerOf(r)
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || !isSameOrigin(r) {
		return ""
	}
	token, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	return string(token)
}

// credentialOf is what a request has sent in place of a token or as one, right or wrong; empty: nothing.
func credentialOf(r *http.Request) string {
	if header := r.Header.Get("Authorization"); header != "" {
		return header
	}
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	return cookie.Name + "=" + cookie.Value
}

// bearerOf is the token of the Authorization header.
func bearerOf(r *http.Request) string {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(given)
}

// isSameOrigin reports whether the browser says that one of our own pages, or its user, has made the request. Without TLS browsers
// leave Sec-Fetch-Site out. Then the Origin must be ours; a GET has none, and changes nothing.
func isSameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "none": // an address that the user has typed
		return isRead(r)
	case "":
		origin := r.Header.Get("Origin")
		if origin == "" {
			return isRead(r)
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host == r.Host
	default:
		return false
	}
}

func isRead(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }
