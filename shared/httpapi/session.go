package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// sessionCookie holds the token of somebody who has signed in to the console. Scripts cannot read it.
const sessionCookie = "erpconnector_session"

// SignIn answers a request that was authorized by its header with a cookie of the same token. From then on the browser's requests
// count as if they had the header. The cookie ends with the token, by EndSession, or with the browser's session.
func SignIn(w http.ResponseWriter, r *http.Request) {
	if token := bearerOf(r); token != "" { // with the cookie alone there is nothing to do
		BeginSession(w, token, IdentityOf(r.Context()).ExpiresAt, isSecure(r))
	}
	w.WriteHeader(http.StatusNoContent)
}

// BeginSession sets the cookie of a token that ends then; nil: never. secure keeps it from connections without TLS.
func BeginSession(w http.ResponseWriter, token string, end *time.Time, secure bool) {
	cookie := newSessionCookie(base64.RawURLEncoding.EncodeToString([]byte(token)), secure)
	if end != nil {
		cookie.Expires = *end
	}
	http.SetCookie(w, cookie)
}

// EndSession takes the cookie away, whatever it holds. It returns its token, if one of our own pages has sent it.
func EndSession(w http.ResponseWriter, r *http.Request) (token string) {
	cookie := newSessionCookie("", isSecure(r))
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
	return cookieToken(r)
}

// newSessionCookie makes a cookie that never leaves the origin.
func newSessionCookie(value string, secure bool) *http.Cookie {
	return &http.Cookie{Name: sessionCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure}
}

// isSecure reports whether the browser uses TLS. A proxy may end it before us, so what the browser says of its own address counts too.
func isSecure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(r.Header.Get("Origin"), "https://")
}

// tokenOf is the token of a request; empty: it has none. A header counts before the cookie, and the cookie only for a request that
// comes from our own pages: the browser adds it to requests that other sites have made as well.
func tokenOf(r *http.Request) string {
	if r.Header.Get("Authorization") != "" {
		return bearerOf(r)
	}
	return cookieToken(r)
}

// cookieToken is the token of the cookie, if one of our own pages has sent it.
func cookieToken(r *http.Request) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || !IsSameOrigin(r) {
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

// IsSameOrigin reports whether the browser says that one of our own pages, or its user, has made the request. Without TLS browsers
// leave Sec-Fetch-Site out. Then the Origin must be ours; a GET has none, and changes nothing.
func IsSameOrigin(r *http.Request) bool {
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
