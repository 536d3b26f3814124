package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/erpconnector/erpconnector/shared/egress"
)

// HTTP says where HTTP is served, to whom, and how much of it at once. A limit of 0 is its default.
type HTTP struct {
	Addr           string         // HTTP_ADDR, default :8080
	Token          Secret         // API_TOKEN (or API_TOKEN_FILE) at the start: the first admin token; CurrentToken is the one in force
	TLS            ServerTLS      // HTTP_TLS_…: https in place of http
	PublicURL      string         // HTTP_PUBLIC_URL: where browsers reach the console, as an origin; empty: it is not known
	CORSOrigins    []string       // HTTP_CORS_ORIGINS: web pages of these origins may ask; none: no page may
	TrustedProxies []netip.Prefix // HTTP_TRUSTED_PROXIES, whose X-Forwarded-For is believed
	MaxRequests    int            // HTTP_MAX_REQUESTS at once, default DefaultRequests
	MaxBodiesMiB   int            // HTTP_MAX_BODIES_MIB of bodies held at once, default DefaultBodiesMiB
	TokenRate      int            // HTTP_TOKEN_RATE: requests a second with one token; 0: as many as come
	AddressRate    int            // HTTP_ADDRESS_RATE: requests a second from one address; 0: as many as come
	FailedLogins   int            // HTTP_FAILED_LOGINS a minute from one address, default DefaultFailedLogins

	Stores map[string]string // STORE_SOURCES: the source of a store code in a path; others are sources themselves
	OIDC   OIDC

	live *liveFile[Secret] // the token's file; nil: it has none
}

// The limits of HTTP unless the environment names others.
const (
	DefaultRequests     = 1000
	DefaultBodiesMiB    = 64
	DefaultFailedLogins = 60
)

// leastBodiesMiB is enough for one request of the largest size, which is held packed and inflated: 16 MiB each.
const leastBodiesMiB = 40

// mostRate is a rate that no process reaches.
const mostRate = 1_000_000

// CurrentToken is the admin token that is in force now. One from a file is read again when the file changes; a file that cannot be used
// leaves the token as it was.
func (h HTTP) CurrentToken() Secret {
	if h.live == nil {
		return h.Token
	}
	return h.live.current()
}

func (e *env) http() HTTP {
	h := HTTP{
		Addr: e.text("HTTP_ADDR", ":8080", "Where HTTP is served."),
		TLS: ServerTLS{
			Cert:     e.text("HTTP_TLS_CERT_FILE", "", "A PEM file with the server's certificate and those between it and the root. With it https is served, and http is not. A changed file is read again."),
			Key:      e.text("HTTP_TLS_KEY_FILE", "", "A PEM file with the key of that certificate."),
			ClientCA: e.text("HTTP_TLS_CLIENT_CA_FILE", "", "A PEM file with roots. Clients must present a certificate that one of them signed; `/livez` and `/readyz` take others too. A changed file is read again."),
		},
		PublicURL:      e.text("HTTP_PUBLIC_URL", "", "Where browsers reach the console, without a path: https://connector.example. Sign-in at an identity provider leads back there."),
		CORSOrigins:    e.origins(),
		TrustedProxies: e.networks("HTTP_TRUSTED_PROXIES", "Networks or addresses of your proxies, comma-separated. A request that comes from one counts for the address that `X-Forwarded-For` names."),
		MaxRequests:    e.number("HTTP_MAX_REQUESTS", DefaultRequests, 10, mostRate, "Requests that a process works on at once. Further ones get 503 `overloaded`."),
		MaxBodiesMiB:   e.number("HTTP_MAX_BODIES_MIB", DefaultBodiesMiB, leastBodiesMiB, 1<<20, "MiB of request bodies that a process holds at once. Further ones get 503 `overloaded`."),
		TokenRate:      e.number("HTTP_TOKEN_RATE", 0, 0, mostRate, "Requests a second that a process takes with one token, and ten seconds' worth in a burst; a batch counts as one. 0: as many as come."),
		AddressRate:    e.number("HTTP_ADDRESS_RATE", 0, 0, mostRate, "The same for one address, with any token or none."),
		FailedLogins:   e.number("HTTP_FAILED_LOGINS", DefaultFailedLogins, 1, mostRate, "Requests with a wrong token that a process takes from one address in a minute. Further ones get 429."),
	}
	h.Stores, h.OIDC = e.stores(), e.oidc()
	e.publicURL(&h)
	h.Token, h.live = e.liveSecret("API_TOKEN", SecretToken, "The first admin token, sent as `Authorization: Bearer …`.")
	if !isAddress(h.Addr) {
		e.bad("HTTP_ADDR", h.Addr, "host:port, or :port for all of the machine's addresses, with a port from 1 to 65535")
	}
	if _, err := h.TLS.Config(nil); err != nil {
		e.problems = append(e.problems, fmt.Errorf("HTTP_TLS_*_FILE: %w", err))
	}
	return h
}

// origins are what a browser sends as Origin: compared as they are, so they are checked to have that form.
func (e *env) origins() []string {
	origins := split(e.text("HTTP_CORS_ORIGINS", "", "Origins like https://console.example, comma-separated, whose pages a browser lets use the API."))
	for _, origin := range origins {
		if !isOrigin(origin) {
			e.problems = append(e.problems, fmt.Errorf("HTTP_CORS_ORIGINS names %q; an origin is like https://console.example:8443, in small letters and without a path", origin))
		}
	}
	return origins
}

// isOrigin reports whether a text has the form in which a browser sends an origin.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.Scheme+"://"+strings.ToLower(u.Host) == text
}

// publicURL checks the address of the console. An issuer sends people to no other address than the one that it was told beforehand, so that
// is not taken from requests: their Host is whatever the client says.
func (e *env) publicURL(h *HTTP) {
	h.PublicURL = strings.TrimSuffix(h.PublicURL, "/")
	switch {
	case h.PublicURL == "" && h.OIDC.ClientID != "":
		e.problems = append(e.problems, errors.New("OIDC_CLIENT_ID is set and HTTP_PUBLIC_URL is not: name the address of the console, like https://connector.example"))
	case h.PublicURL != "" && !isOrigin(h.PublicURL):
		e.bad("HTTP_PUBLIC_URL", h.PublicURL, "like https://connector.example:8443, in small letters and without a path")
	}
}

func (e *env) networks(name, meaning string) []netip.Prefix {
	networks, err := egress.ParseNetworks(e.text(name, "", meaning))
	if err != nil {
		e.problems = append(e.problems, fmt.Errorf("%s: %w", name, err))
	}
	return networks
}

// errNoServerKey and its like say which of the files of https is missing.
var (
	errNoServerKey  = errors.New("the certificate and its key go together: one of HTTP_TLS_CERT_FILE and HTTP_TLS_KEY_FILE is not set")
	errNoServerCert = errors.New("HTTP_TLS_CLIENT_CA_FILE is set and HTTP_TLS_CERT_FILE is not: without https no client presents a certificate")
)
