package checker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/history"
)

// scenarios are what may rightly happen to an order, each under its name.
var scenarios = map[string]func(o *actor){
	"sent at once": func(o *actor) { o.invoiced(false).sends(201) },
	"placed, updated, sent": func(o *actor) {
		o.publishes("order.placed", history.Accepted, true).publishes("order.updated", history.Accepted, true).invoiced(false).sends(200)
	},
	"never invoiced":                func(o *actor) { o.publishes("order.placed", history.Accepted, true) },
	"refused":                       func(o *actor) { o.publishes("order.placed", history.Refused, false) },
	"the connection broke, in time": func(o *actor) { o.publishes("order.placed", history.Unknown, true) },
	"the connection broke, before":  func(o *actor) { o.publishes("order.placed", history.Unknown, false) },
	"rejected":                      func(o *actor) { o.invoiced(false).sends(422) },
	"busy twice":                    func(o *actor) { o.invoiced(false).sends(503).sends(429).sends(201) },
	"used up":                       func(o *actor) { o.invoiced(false).sends(500).sends(500).sends(500).sends(500).sends(500) },
	"busy, says until when": func(o *actor) {
		o.invoiced(false).intends().calls(429, false, time.Millisecond).concludes(429, map[string]any{"retry-after": "9"}).sends(201)
	},
	"given up, as the retry waited":                             func(o *actor) { o.invoiced(false).sends(503).wait(5 * time.Minute).givesUp() },
	"given up, and the heir of a dead process finds its intent": func(o *actor) { o.invoiced(false).sends(503).intends().wait(5 * time.Minute).givesUp() },
	"given up, as the ERP wants to be called later than that": func(o *actor) {
		o.invoiced(false).intends().calls(429, false, time.Millisecond).concludes(429, map[string]any{"retry-after": "400"})
	},
	"the answer is lost": func(o *actor) {
		o.invoiced(false).intends().calls(0, true, time.Second).concludes(0, nil).sends(200)
	},
	"the answer is lost, and the order found": func(o *actor) {
		o.invoiced(false).intends().calls(0, true, time.Second).concludes(0, nil).finds()
	},
	"the heir of a dead process finds the order, at the second time": func(o *actor) {
		o.invoiced(false).intends().calls(0, true, time.Second).postpones().finds()
	},
	"the ERP cannot be reached": func(o *actor) { o.invoiced(false).intends().concludes(0, nil).sends(200) },
	"a late answer that nobody waits for": func(o *actor) {
		o.invoiced(false).intends().calls(200, true, time.Second).concludes(0, nil).sends(200)
	},
	"accepted by webhook while parked": func(o *actor) {
		o.invoiced(false).sends(503).wait(-time.Second).settled("webhook-accepted").wait(time.Second).closes()
	},
	"rejected by webhook while parked": func(o *actor) {
		o.invoiced(false).sends(503).wait(-time.Second).settled("webhook-rejected").wait(time.Second).closes()
	},
	"cancelled while parked": func(o *actor) {
		o.invoiced(false).sends(503).wait(-time.Second).settled("cancel").wait(time.Second).closes()
	},
	"settled by hand": func(o *actor) { o.invoiced(false).settled("settle").closes() },
	"settled while the call runs": func(o *actor) {
		o.invoiced(false).intends().calls(0, true, time.Second)
		o.settled("webhook-accepted")
		o.closes()
	},
	"settled after the end": func(o *actor) { o.invoiced(false).sends(422).wait(time.Second).settled("webhook-accepted").noted() },
	"noted":                 func(o *actor) { o.invoiced(false).noted().noted().sends(201).noted() },
	"held and released":     func(o *actor) { o.invoiced(true).noted().wait(time.Minute).releases().sends(201) },
	"held to the end":       func(o *actor) { o.invoiced(true) },
	"held, settled":         func(o *actor) { o.invoiced(true).settled("settle").closes() },
	"synced without invoice": func(o *actor) {
		o.publishes("order.placed", history.Accepted, true)
		o.sendsRequest("sync", 202)
		o.first(false)
		o.sends(201)
	},
	"resync of a failed one": func(o *actor) { o.invoiced(false).sends(422).wait(time.Second).resyncs("resync").sends(201) },
	"resync of a success":    func(o *actor) { o.invoiced(false).sends(201).wait(6 * time.Second).resyncs("resync").sends(201) },
	"resync after a webhook": func(o *actor) {
		o.invoiced(false).sends(422).settled("webhook-accepted").wait(time.Second).resyncs("resync").sends(201)
	},
	"resync after a webhook without the key": func(o *actor) {
		o.invoiced(false).sends(503).wait(-time.Second).calledBack("", "ERP-7").wait(time.Second).closes()
		o.wait(10 * time.Second).resyncs("resync").sends(201)
	},
	"a webhook with a new reference after a resync": func(o *actor) {
		o.invoiced(false).sends(201).wait(time.Second).resyncs("resync").sends(503).wait(-time.Second).calledBack("", "ERP-8").wait(time.Second).closes()
	},
	"an old webhook after a resync": func(o *actor) {
		o.invoiced(false).sends(201).wait(time.Second).resyncs("resync").noted()
		o.sendsRequest("webhook-accepted", 200)
		o.sends(201)
	},
	"resync after a settlement by hand": func(o *actor) {
		o.invoiced(false).sends(422).settled("settle").wait(10 * time.Second).resyncs("resync").sends(201)
	},
	"resync under a new key": func(o *actor) {
		o.invoiced(false).intends().calls(0, true, time.Second).concludes(0, nil).intends().concludes(404, nil)
		o.h.Calls = append(o.h.Calls, history.Call{Number: 90, Source: o.source, Order: o.id, Key: o.key, Began: o.at.Add(-2 * time.Millisecond), Ended: o.at.Add(-2 * time.Millisecond), Status: 404})
		o.wait(time.Second).resyncs("resync-new-key").sends(201)
	},
	"resync of a waiting one": func(o *actor) { resyncWhileParked(o) },
	"killed before the call":  func(o *actor) { o.invoiced(false).intends().killed(7 * time.Second).sends(201) },
	"killed in the call": func(o *actor) {
		o.invoiced(false).intends().calls(0, true, 3*time.Millisecond).killed(7 * time.Second).sends(200)
	},
	"killed after the call": func(o *actor) {
		o.invoiced(false).intends().calls(201, false, time.Millisecond).killed(7 * time.Second).sends(200)
	},
	"killed, settled meanwhile": func(o *actor) {
		o.invoiced(false).intends().calls(201, false, time.Millisecond).killed(time.Second).settled("webhook-accepted").wait(6 * time.Second).closes()
	},
	"an answer noted a little late": func(o *actor) {
		o.invoiced(false).intends().calls(201, false, 30*time.Millisecond).wait(-20*time.Millisecond).concludes(201, nil)
	},
	"of another shop": func(o *actor) {
		o.source, o.id = "shop-2", "a/b%"+o.id
		o.publishes("order.placed", history.Accepted, true).invoiced(false).sends(503).sends(201)
	},
}

// resyncWhileParked: the new generation goes out, and the parked record ends as superseded when it becomes due.
func resyncWhileParked(o *actor) {
	o.invoiced(false).sends(503)
	older := *o
	o.wait(-time.Second).resyncs("resync").sends(201)
	older.at, older.gate, older.closedBy, older.facts = o.at.Add(2*time.Second), "closed", "superseded", nil
	older.closes()
	o.facts = append(o.facts, older.facts...)
	o.at = older.at
}

func requireSound(t *testing.T, h *history.History) {
	t.Helper()
	if r := Check(h); len(r.Violations) > 0 {
		t.Fatal(r)
	}
}

func TestWhatMayHappenRaisesNothing(t *testing.T) {
	t.Parallel()
	for name, script := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript()
			script(s.order("default", "000000123"))
			requireSound(t, s.history())
		})
	}
}

// Many orders at once, what happens to each drawn by a seed.
func TestRandomHistoriesRaiseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		h := random(seed)
		if r := Check(h); len(r.Violations) > 0 {
			t.Fatalf("seed %d:\n%s", seed, r)
		}
	}
}

func random(seed uint64) *history.History {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	s := newScript()
	s.h.Seed = seed
	for i := range 1 + r.IntN(30) {
		o := s.order([]string{"default", "default", "shop-2"}[r.IntN(3)], fmt.Sprint(1000+i, "x"[:r.IntN(2)]))
		o.at = began.Add(time.Duration(r.IntN(60_000_000)) * time.Microsecond)
		play(o, r)
	}
	if r.IntN(2) == 0 {
		s.h.Disturbances = append(s.h.Disturbances, history.Disturbance{
			Kind: "kill", Target: "broker", At: began.Add(20 * time.Second), Restarted: began.Add(22 * time.Second), Ready: began.Add(25 * time.Second),
		})
	}
	return s.history()
}

// play draws what happens to one order.
func play(o *actor, r *rand.Rand) {
	for range r.IntN(3) {
		o.publishes("order.updated", history.Accepted, true)
	}
	if r.IntN(10) == 0 {
		return
	}
	held := r.IntN(4) == 0
	o.invoiced(held)
	if held {
		if r.IntN(4) == 0 {
			return
		}
		o.wait(time.Second).releases()
	}
	for {
		playGeneration(o, r)
		if r.IntN(3) > 0 || o.generation > 3 {
			return
		}
		o.wait(time.Duration(5100+r.IntN(9000)) * time.Millisecond).resyncs([]string{"resync", "resync-new-key"}[r.IntN(2)])
	}
}

func playGeneration(o *actor, r *rand.Rand) {
	for o.gate == "open" {
		switch r.IntN(8) {
		case 0:
			o.settled([]string{"webhook-accepted", "webhook-rejected", "settle"}[r.IntN(3)])
			o.closes()
			return
		case 1:
			o.intends().calls(0, r.IntN(2) == 0, time.Millisecond).killed(time.Duration(r.IntN(9000)) * time.Millisecond)
		case 2:
			o.intends().calls(0, r.IntN(2) == 0, time.Second).concludes(0, nil)
		case 3:
			o.noted()
		default:
			o.sends([]int{200, 201, 422, 429, 500, 503}[r.IntN(6)])
		}
	}
}

// The row of the worked example: busy once, then accepted.
func TestTheFoldOfOneOrder(t *testing.T) {
	t.Parallel()
	s := newScript()
	o := s.order("default", "000000123")
	o.invoiced(false).sends(503)
	due := o.next
	first := o.lastAt
	h := s.history()
	c := newChecker(h)
	c.readRecords()
	got := fold(c.orders["000000123"].facts)
	require.Equal(t, "queued", got["status"])
	require.Equal(t, due, got["next_attempt_at"])
	require.Equal(t, *first, got["last_attempt_at"])
	require.Equal(t, int64(1), got["attempts"])
	require.EqualValues(t, `{"order":"000000123"}`, got["payload"].(string)) //nolint:testifylint // byte for byte
	require.Equal(t, "body 503", got["response"])
	require.Equal(t, "it says no", got["last_error"])
	require.Equal(t, int64(285212682), got["version"])
	o.sends(201)
	c = newChecker(s.history())
	c.readRecords()
	got = fold(c.orders["000000123"].facts)
	require.Equal(t, "success", got["status"])
	require.Nil(t, got["next_attempt_at"])
	require.Equal(t, int64(2), got["attempts"])
	require.Equal(t, "body 201", got["response"])
	require.Nil(t, got["last_error"])
	require.Equal(t, int64(285212691), got["version"])
	require.Equal(t, int64(285212691), got["reference_version"])
}

func TestCheckLeavesTheHistoryAsItIs(t *testing.T) {
	t.Parallel()
	h := random(3)
	path := t.TempDir() + "/history.json"
	require.NoError(t, h.Save(path))
	before, err := history.Load(path)
	require.NoError(t, err)
	Check(before)
	requireSound(t, before)
	again, err := history.Load(path)
	require.NoError(t, err)
	require.Equal(t, again, before)
}
