package httpapi

import (
	"sync"
	"time"
)

// meterKeys is how many keys a meter remembers at least. It forgets old ones before it holds twice as many, some 2 MB.
const meterKeys = 10_000

// meter lets each key do something at a steady rate, and in bursts. Of each key it knows one time: that at which all of its burst is
// there again (the generic cell rate algorithm of ATM).
type meter[K comparable] struct {
	burst int
	every time.Duration // between two, in the long run
	now   func() time.Time

	mu   sync.Mutex
	full generations[K, time.Time]
}

func newMeter[K comparable](burst int, every time.Duration) *meter[K] {
	return &meter[K]{burst: burst, every: every, now: time.Now}
}

// reading is where a key stands.
type reading struct {
	left  int           // so many may follow at once
	reset time.Duration // until all of the burst is there again
	wait  time.Duration // until one more may be done; 0: now
}

// take counts one more of the key, if that may be done now. A wait in the answer says that it may not, and was not counted.
func (m *meter[K]) take(key K) reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, now := m.read(key)
	if before.wait > 0 {
		return before
	}
	reset := before.reset + m.every
	m.full.put(key, now.Add(reset))
	return reading{left: m.left(reset), reset: reset}
}

// look says where the key stands, and counts nothing.
func (m *meter[K]) look(key K) reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, _ := m.read(key)
	return r
}

func (m *meter[K]) read(key K) (reading, time.Time) {
	now := m.now()
	full, _ := m.full.get(key)
	reset := max(full.Sub(now), 0)
	return reading{left: m.left(reset), reset: reset, wait: max(reset+m.every-m.window(), 0)}, now
}

func (m *meter[K]) left(reset time.Duration) int { return int((m.window() - reset) / m.every) }

// window is how long a whole burst takes to come back.
func (m *meter[K]) window() time.Duration { return time.Duration(m.burst) * m.every }

// generations is a map that forgets what was not put into it for a while, once it has grown.
type generations[K comparable, V any] struct {
	young, old map[K]V
}

func (g *generations[K, V]) get(key K) (V, bool) {
	if v, ok := g.young[key]; ok {
		return v, true
	}
	v, ok := g.old[key]
	return v, ok
}

func (g *generations[K, V]) put(key K, v V) {
	if g.young == nil || len(g.young) >= meterKeys {
		g.young, g.old = map[K]V{}, g.young
	}
	g.young[key] = v
}

func (g *generations[K, V]) drop(key K) {
	delete(g.young, key)
	delete(g.old, key)
}
