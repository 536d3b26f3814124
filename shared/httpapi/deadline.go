package httpapi

import (
	"net/http"
	"sync"
	"time"
)

// answerTimeout gives each answer so long from its first byte to its last, however long the handler took to find it: one that
// waits for the end of a sync is no slow client. A client that does not read holds nothing beyond that.
func answerTimeout(next http.Handler, limit time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor > 1 { // there the server's own limit would end the handler too, see TestAnAnswerThatTookLongToFindIsSent
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		}
		v := visitOf(r.Context())
		v.timed.ResponseWriter, v.timed.limit = w, limit
		next.ServeHTTP(&v.timed, r)
	})
}

type timedWriter struct {
	http.ResponseWriter
	limit time.Duration
	begin sync.Once
}

// start sets the deadline with the first byte. Where the connection knows none, as in tests, there is nobody to hold.
func (w *timedWriter) start() {
	w.begin.Do(func() { _ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(w.limit)) })
}

// WriteHeader begins the answer.
func (w *timedWriter) WriteHeader(status int) {
	w.start()
	w.ResponseWriter.WriteHeader(status)
}

// Write begins the answer when nothing else has.
func (w *timedWriter) Write(b []byte) (int, error) {
	w.start()
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the wrapped writer.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
