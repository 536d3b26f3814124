package access

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// rate lets so many failures through at once, and then one in each interval.
type rate struct {
	burst    int
	interval time.Duration
}

// A password is guessed by one address for one user, by one address for many users, or by many addresses for one user.
var (
	pairRate    = rate{10, 10 * time.Second}
	addressRate = rate{50, 2 * time.Second}
	userRate    = rate{100, 10 * time.Second}
)

const (
	// maxGuesses is how many counters are kept of the newest kind; as many older ones are kept beside them.
	maxGuesses = 10_000
	// trustFor is how long an address that a user has logged in from is not held up by what others do elsewhere with the user's name.
	trustFor = 30 * 24 * time.Hour
)

// guess is who tries to log in. An empty name or address stands for all of them.
type guess struct{ name, address string }

// guesses limits failed logins, in bounded memory. A success costs nothing. Whoever is held up is held up for an interval, never for ever.
// It is safe for concurrent use.
type guesses struct {
	mu           sync.Mutex
	newer, older map[guess]counter // counters move to newer when they are used; when that is full, older ones are forgotten
}

// counter is a token bucket as one time: GCRA's theoretical arrival time.
type counter struct {
	next    time.Time // in the past: nothing is used up
	trusted time.Time // of the last success
}

func newGuesses() *guesses { return &guesses{newer: map[guess]counter{}, older: map[guess]counter{}} }

// counters are those that a login counts at, with their rates.
func (g guess) counters() map[guess]rate {
	g.name = strings.ToLower(g.name)
	return map[guess]rate{g: pairRate, {address: g.address}: addressRate, {name: g.name}: userRate}
}

// take counts a login before it is looked at, so that many at once are no way around the limit. after above zero: it is not to be looked
// at, and nothing was counted.
func (gs *guesses) take(g guess, now time.Time) (after time.Duration) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	counters := g.counters()
	trusted := gs.get(guess{strings.ToLower(g.name), g.address}).trusted.Add(trustFor).After(now)
	for key, r := range counters {
		if key.address == "" && trusted {
			continue
		}
		after = max(after, gs.get(key).wait(r, now))
	}
	if after > 0 {
		return after
	}
	for key, r := range counters {
		c := gs.get(key)
		c.next = later(c.next, now).Add(r.interval)
		gs.put(key, c)
	}
	return 0
}

// wait is how long it takes until one more fits into the rate.
func (c counter) wait(r rate, now time.Time) time.Duration {
	return later(c.next, now).Sub(now) - time.Duration(r.burst-1)*r.interval
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// giveBack takes back what take has counted.
func (gs *guesses) giveBack(g guess) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for key, r := range g.counters() {
		c := gs.get(key)
		c.next = c.next.Add(-r.interval)
		gs.put(key, c)
	}
}

// succeeded takes back what take has counted, forgives the user's failures at that address, and trusts the address.
func (gs *guesses) succeeded(g guess, now time.Time) {
	gs.giveBack(g)
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.put(guess{strings.ToLower(g.name), g.address}, counter{trusted: now})
}

func (gs *guesses) get(key guess) counter {
	if c, ok := gs.newer[key]; ok {
		return c
	}
	return gs.older[key]
}

func (gs *guesses) put(key guess, c counter) {
	if len(gs.newer) >= maxGuesses {
		gs.older, gs.newer = gs.newer, map[guess]counter{}
	}
	gs.newer[key] = c
}

// network is what one client is likely to have of addresses: an IPv4 address, or 64 bits of IPv6.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	const clientBits = 64
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(clientBits); err == nil {
			return p.String()
		}
	}
	return a.String()
}
