package httpapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/erpconnector/erpconnector/shared/config"
)

// Whatever comes when, in no stretch of time more is let through than a burst and the rate of that time, and who waits as long as he
// is told is let through.
func TestAMeterKeepsItsRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		burst, every := rapid.IntRange(1, 20).Draw(t, "burst"), time.Duration(rapid.IntRange(1, 5000).Draw(t, "every"))*time.Millisecond
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		m := newMeter[string](burst, every)
		m.now = func() time.Time { return now }
		var let []time.Time
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(2*every)).Draw(t, "pause")))
			seen, got := m.look("key"), m.take("key")
			require.Equal(t, seen.wait, got.wait)
			require.LessOrEqual(t, got.left, burst)
			if got.wait > 0 {
				require.Zero(t, got.left)
				now = now.Add(got.wait)
				require.Zero(t, m.take("key").wait)
			}
			let = append(let, now)
		}
		for i := range let {
			for j := i; j < len(let); j++ {
				require.LessOrEqual(t, j-i+1, burst+int(let[j].Sub(let[i])/every))
			}
		}
		require.Zero(t, m.look("another").wait)
		require.Equal(t, burst, m.look("another").left)
	})
}

// Somebody with a million addresses takes no more memory than one with ten thousand.
func TestAMeterForgets(t *testing.T) {
	t.Parallel()
	m := newMeter[int](1, time.Hour)
	for i := range 3 * meterKeys {
		require.Zero(t, m.take(i).wait)
		require.LessOrEqual(t, len(m.full.young)+len(m.full.old), 2*meterKeys)
	}
	require.Positive(t, m.take(3*meterKeys-1).wait)
	require.Positive(t, m.take(2*meterKeys+1).wait, "what came last is known")
	require.Zero(t, m.take(0).wait, "what came long ago is not")
}

func TestATokenThatAsksTooOften(t *testing.T) {
	t.Parallel()
	h := door(config.HTTP{Token: "token", TokenRate: 1}, func(http.ResponseWriter, *http.Request) {})
	for i := range 10 {
		w := knock(t, h, http.MethodPost, "/closed", "Authorization", "Bearer token")
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, `"token";q=10;w=10`, w.Header().Get("RateLimit-Policy"))
		require.Equal(t, fmt.Sprintf(`"token";r=%d;t=%d`, 9-i, i+1), w.Header().Get("RateLimit"))
	}
	w := knock(t, h, http.MethodPost, "/closed", "Authorization", "Bearer token")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Equal(t, `"token";r=0;t=10`, w.Header().Get("RateLimit"))
	require.Contains(t, w.Body.String(), `"code":"rate_limited"`)
	require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, "/open").Code, "it has no token")
}

func TestAnAddressThatAsksTooOften(t *testing.T) {
	t.Parallel()
	h := door(config.HTTP{Token: "token", AddressRate: 1}, func(http.ResponseWriter, *http.Request) {})
	for range 10 {
		require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, "/open", "From-Test", "192.0.2.1:1").Code)
	}
	require.Equal(t, http.StatusTooManyRequests, knock(t, h, http.MethodGet, "/open", "From-Test", "192.0.2.1:2").Code)
	require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, "/livez", "From-Test", "192.0.2.1:1").Code)
	require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, "/open", "From-Test", "192.0.2.2:1").Code)
}

func TestAnAddressThatTriesWrongTokens(t *testing.T) {
	t.Parallel()
	h := door(config.HTTP{Token: "token", FailedLogins: 3}, func(http.ResponseWriter, *http.Request) {})
	with := func(from, token string) int {
		t.Helper()
		return knock(t, h, http.MethodPost, "/closed", "From-Test", from, "Authorization", "Bearer "+token).Code
	}
	const attacker, shop = "192.0.2.1:1", "192.0.2.2:1"
	for i := range 3 {
		require.Equal(t, http.StatusUnauthorized, with(attacker, fmt.Sprint("guess", i)))
	}
	w := knock(t, h, http.MethodPost, "/closed", "From-Test", attacker, "Authorization", "Bearer guess")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "20", w.Header().Get("Retry-After"))
	require.Equal(t, `"failed-logins";q=3;w=60`, w.Header().Get("RateLimit-Policy"))
	require.Equal(t, http.StatusTooManyRequests, with(attacker, "token"), "it cannot find out that this one is right")
	require.Equal(t, http.StatusOK, with(shop, "token"))
	require.Equal(t, http.StatusTooManyRequests, with(attacker, "token"), "nor by a shop's use of it")
	require.Equal(t, http.StatusOK, knock(t, h, http.MethodGet, "/open", "From-Test", attacker, "Authorization", "Bearer token").Code, "no token is looked at here")
	require.Equal(t, http.StatusTooManyRequests, with(attacker, "token"))
	require.Equal(t, http.StatusUnauthorized, knock(t, h, http.MethodPost, "/closed", "From-Test", attacker).Code, "no token is no guess")

	for i := range 3 { // another program behind the shop's address has a wrong token
		require.Equal(t, http.StatusUnauthorized, with(shop, fmt.Sprint("wrong", i)))
	}
	require.Equal(t, http.StatusTooManyRequests, with(shop, "wrong"))
	require.Equal(t, http.StatusOK, with(shop, "token"), "what was right from there is looked at")
}

// A token that was revoked is a wrong one like others.
func TestATokenThatWasRightOnce(t *testing.T) {
	t.Parallel()
	l := newRates(config.HTTP{FailedLogins: 1})
	right := true
	h := visited(l.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if right {
			l.byToken(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		} else {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})))
	ask := func() int { return knock(t, h, http.MethodGet, "/", "Authorization", "Bearer token").Code }
	require.Equal(t, http.StatusOK, ask())
	right = false
	require.Equal(t, http.StatusUnauthorized, ask())
	require.Equal(t, http.StatusTooManyRequests, ask())
}
