package httpapi

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// burstSeconds is how long a rate may be exceeded by using all of it at once.
const burstSeconds = 10

// rates are the limits on how often somebody may ask. A nil meter limits nothing.
type rates struct {
	proxies []netip.Prefix
	token   *meter[string] // by the token's name
	address *meter[netip.Addr]
	logins  *logins
}

func newRates(cfg config.HTTP) *rates {
	return &rates{
		proxies: cfg.TrustedProxies, token: perSecond[string](cfg.TokenRate), address: perSecond[netip.Addr](cfg.AddressRate),
		logins: newLogins(cfg.FailedLogins),
	}
}

func perSecond[K comparable](rate int) *meter[K] {
	if rate == 0 {
		return nil
	}
	return newMeter[K](rate*burstSeconds, time.Second/time.Duration(rate))
}

// byAddress limits the requests of each address, with any token or none. Probes are let through.
func (l *rates) byAddress(next http.Handler) http.Handler {
	if l.address == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isProbe(r) || counted(w, l.address, "address", CallerAddress(r, l.proxies)) {
			next.ServeHTTP(w, r)
		}
	})
}

// byToken limits the requests with each token. It stands behind the check of the token, as only that knows whose it is.
func (l *rates) byToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visitOf(r.Context()).entered = true
		if l.token == nil || counted(w, l.token, "token", Requester(r.Context())) {
			next.ServeHTTP(w, r)
		}
	})
}

// counted counts a request; false: it was one too many, and has been answered.
func counted[K comparable](w http.ResponseWriter, m *meter[K], policy string, key K) bool {
	now := m.take(key)
	tell(w.Header(), m.burst, m.window(), policy, now)
	if now.wait == 0 {
		return true
	}
	tooMany(w, now.wait, fmt.Sprintf("nothing was done: this %s has sent more requests than are taken in so short a time", policy))
	return false
}

// tell sets the headers by which a client can slow down in time (draft-ietf-httpapi-ratelimit-headers-10).
func tell(h http.Header, burst int, window time.Duration, policy string, now reading) {
	h.Add("RateLimit-Policy", fmt.Sprintf(`"%s";q=%d;w=%d`, policy, burst, seconds(window)))
	h.Add("RateLimit", fmt.Sprintf(`"%s";r=%d;t=%d`, policy, now.left, seconds(now.reset)))
}

// tooMany answers 429.
func tooMany(w http.ResponseWriter, wait time.Duration, detail string) {
	refused.WithLabelValues("rate_limited").Inc()
	after := seconds(wait)
	w.Header().Set("Retry-After", strconv.Itoa(after))
	problem.Write(w, problem.Problem{
		Status: http.StatusTooManyRequests, Code: "rate_limited", Detail: fmt.Sprintf("%s; ask again after %d s, as Retry-After says", detail, after),
	})
}

// seconds are whole ones, rounded up: who waits so long does not come too early.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// logins limits how often an address may try wrong tokens. Once it has tried too many, it is answered 429 before a token is looked at, so
// that it cannot find out whether the next one is right. Tokens that were right from this address before are looked at all the same: of
// two shops behind one address, one with a wrong token does not shut out the other.
type logins struct {
	failed *meter[netip.Addr]

	mu    sync.Mutex
	right generations[login, struct{}]
}

// login is a token as it was sent from an address.
type login struct {
	from netip.Addr
	hash [sha256.Size]byte
}

func newLogins(perMinute int) *logins {
	if perMinute == 0 {
		perMinute = config.DefaultFailedLogins
	}
	return &logins{failed: newMeter[netip.Addr](perMinute, time.Minute/time.Duration(perMinute))}
}

// guarded stands before the check of the token. It notes whether the token was right by whether the request came through to byToken.
func (l *rates) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent := credentialOf(r)
		if sent == "" { // no guess
			next.ServeHTTP(w, r)
			return
		}
		who := login{CallerAddress(r, l.proxies), sha256.Sum256([]byte(sent))}
		if now := l.logins.failed.look(who.from); now.wait > 0 && !l.logins.wasRight(who) {
			tell(w.Header(), l.logins.failed.burst, l.logins.failed.window(), "failed-logins", now)
			tooMany(w, now.wait, "nothing was done: too many wrong tokens came from this address")
			return
		}
		next.ServeHTTP(w, r)
		switch v := visitOf(r.Context()); {
		case v.entered:
			l.logins.note(who, true)
		case v.recorder.status == http.StatusUnauthorized:
			l.logins.failed.take(who.from)
			l.logins.note(who, false)
		}
	})
}

func (l *logins) wasRight(who login) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.right.get(who)
	return ok
}

func (l *logins) note(who login, right bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if right {
		l.right.put(who, struct{}{})
	} else {
		l.right.drop(who)
	}
}
