package erp

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
)

// failureStatus has the behaviours that answer and book nothing.
var failureStatus = map[string]int{
	nemesis.Busy: http.StatusServiceUnavailable, nemesis.Broken: http.StatusInternalServerError, nemesis.Limited: http.StatusTooManyRequests,
	nemesis.LimitedBy: http.StatusTooManyRequests, nemesis.Refuse: http.StatusUnprocessableEntity,
}

// behave does what is planned. The ERP does not refuse an order that it has booked: a real one would not.
func (v *visit) behave() {
	if v.booked() {
		if v.plan.Behaviour == nemesis.Refuse {
			v.plan.Behaviour = nemesis.OK
			v.erp.withLock(func() { v.call.Behaviour = nemesis.OK })
		}
		if v.plan.Callback == nemesis.Rejected {
			v.plan.Callback = nemesis.NoCallback
		}
	}
	var storm *nemesis.Storm
	v.erp.withLock(func() { storm = v.erp.storm })
	status, fails := failureStatus[v.plan.Behaviour]
	switch {
	case storm != nil:
		v.turnAway(*storm)
		return
	case fails:
		v.fail(status)
	case v.plan.Behaviour == nemesis.Hang:
		v.hang()
	case v.plan.Behaviour == nemesis.CutBefore:
		v.resetConnection()
	case v.plan.Behaviour == nemesis.Slow && !v.wait(v.plan.Delay):
		v.finish(0)
		return
	default:
		v.bookAndAnswer()
	}
	v.callBack()
}

// booked reports whether the key has made a booking.
func (v *visit) booked() (is bool) {
	v.erp.withLock(func() { _, is = v.erp.book[v.call.Key] })
	return is
}

// turnAway answers during a storm. What the ERP says is about itself, not about the order.
func (v *visit) turnAway(s nemesis.Storm) {
	v.erp.withLock(func() { v.call.Behaviour = nemesis.Stormy })
	if s.RetryAfter > 0 {
		v.w.Header().Set("Retry-After", strconv.Itoa(s.RetryAfter))
		v.erp.withLock(func() { v.call.HoldUntil = time.Now().Add(time.Duration(s.RetryAfter) * time.Second).UTC() })
	}
	v.answer(s.Status, `{"error": "all calls are turned away"}`)
}

// PlannedCode is what the ERP says with a 5xx that is about the order alone.
const PlannedCode = "PLANNED"

// fail answers without a booking.
func (v *visit) fail(status int) {
	if status == http.StatusTooManyRequests {
		status = v.limit()
	}
	v.answer(status, fmt.Sprintf(`{"error": "planned: %s", "code": %q}`, v.plan.Behaviour, PlannedCode))
}

// limitInterval is the shortest time between two answers with 429. Each one holds all calls of the product for its Retry-After, so with
// more of them nothing would be under way when something is killed, and the run would not end. The others are a 500 with Retry-After,
// which is about its order.
const limitInterval = 15 * time.Second

// mayLimit reports whether the ERP may answer with 429 now.
func (e *ERP) mayLimit(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.limited) < limitInterval {
		return false
	}
	e.limited = now
	return true
}

// limit asks the caller to wait: for this order, or with 429 for all.
func (v *visit) limit() (status int) {
	until, text := time.Now().Add(time.Duration(v.plan.RetryAfter)*time.Second).UTC(), strconv.Itoa(v.plan.RetryAfter)
	if v.plan.Behaviour == nemesis.LimitedBy {
		until = until.Truncate(time.Second)
		text = until.Format(http.TimeFormat)
	}
	v.w.Header().Set("Retry-After", text)
	if !v.erp.mayLimit(time.Now()) {
		return http.StatusInternalServerError
	}
	v.erp.withLock(func() { v.call.HoldUntil = until })
	return http.StatusTooManyRequests
}

// bookAndAnswer books the order and answers, or loses the answer.
func (v *visit) bookAndAnswer() {
	if !v.bookOrder() {
		v.plan.Callback = nemesis.NoCallback
		v.answer(http.StatusConflict, `{"error": "the idempotency key was used for another body"}`)
		return
	}
	accepted := fmt.Sprintf(`{"erp_reference": %q, "status": "accepted"}`, v.call.Reference)
	switch v.plan.Behaviour {
	case nemesis.CutAfter:
		v.resetConnection()
	case nemesis.HangAfter:
		v.hang()
	case nemesis.NotJSON:
		v.answer(http.StatusOK, "<html>accepted</html>")
	case nemesis.Huge:
		v.answer(http.StatusOK, strings.TrimSuffix(accepted, "}")+`, "padding": "`+strings.Repeat("x", 1<<20)+`"}`)
	case nemesis.LongHeader:
		v.w.Header().Set("X-Request-Id", strings.Repeat("x", 512<<10))
		v.answer(http.StatusCreated, accepted)
	case nemesis.Oversized:
		v.finish(0) // nobody can read it
		v.w.Header().Set("X-Request-Id", strings.Repeat("x", 9<<20))
		v.w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(v.w, accepted)
	case nemesis.SlowBody:
		v.w.WriteHeader(http.StatusCreated)
		_ = http.NewResponseController(v.w).Flush()
		if !v.wait(v.plan.Delay) {
			v.finish(0)
			return
		}
		v.answer(http.StatusCreated, accepted)
	default:
		v.answer(http.StatusCreated, accepted)
	}
}

// answer records the end of the call first: after the last byte the caller may call again, and the two must not seem to
// overlap.
func (v *visit) answer(status int, body string) {
	v.finish(status)
	v.w.Header().Set("Content-Type", "application/json")
	if v.plan.Behaviour != nemesis.SlowBody || status != http.StatusCreated {
		v.w.WriteHeader(status)
	}
	_, _ = io.WriteString(v.w, body)
}

// hang waits until the caller gives up, and resets the connection of a caller that does not.
func (v *visit) hang() {
	if v.wait(v.erp.cfg.HangTimeout) {
		v.resetConnection()
		return
	}
	v.finish(0)
}

// resetConnection breaks the connection by a TCP reset.
func (v *visit) resetConnection() {
	v.finish(0)
	conn, _, err := http.NewResponseController(v.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// wait waits for that long; it is false when the caller went away.
func (v *visit) wait(d time.Duration) bool {
	ctx, cancel := context.WithTimeout(v.r.Context(), d)
	defer cancel()
	<-ctx.Done()
	return v.r.Context().Err() == nil
}

// finish records the end of the call. Status 0 means that no answer was sent.
func (v *visit) finish(status int) {
	v.erp.withLock(func() { v.call.Status, v.call.Ended = status, time.Now().UTC() })
}
