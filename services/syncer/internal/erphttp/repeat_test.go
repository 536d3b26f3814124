package erphttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Symptom: an ERP that had closed a kept connection, as after a restart, cost the next order an attempt and two minutes.
func TestACallThatFindsItsKeptConnectionClosedIsMadeAgainAtOnce(t *testing.T) {
	t.Parallel()
	lookUp := func(s *setting.Settings) { s.ErpLookup = "/{idempotency_key}" }
	inTheMiddle := func(_ *wire, conn *net.TCPConn, in *bufio.Reader) { _, _ = in.ReadByte(); reset(conn) }
	afterTheRequest := func(w *wire, _ *net.TCPConn, in *bufio.Reader) { w.read(in) }
	afterAByte := func(w *wire, conn *net.TCPConn, in *bufio.Reader) { w.read(in); _, _ = io.WriteString(conn, "H") }
	for name, c := range map[string]struct {
		change       func(*setting.Settings)
		minIdle      time.Duration
		end          func(w *wire, conn *net.TCPConn, in *bufio.Reader) // of each connection, after its first call
		want         int
		wantRequests int
	}{
		"reset_in_the_middle_of_the_request":            {end: inTheMiddle, want: 200, wantRequests: 2},
		"closed_after_the_request":                      {end: afterTheRequest, want: 200, wantRequests: 3},
		"closed_after_the_request_and_the_erp_is_asked": {end: afterTheRequest, change: lookUp, want: 0, wantRequests: 2},
		"closed_after_a_byte_of_the_answer":             {end: afterAByte, want: 0, wantRequests: 2},
		"closed_soon_after_the_call_before":             {end: afterTheRequest, minIdle: time.Hour, want: 0, wantRequests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onTheWire(t, func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
				if w.read(in) {
					_, _ = io.WriteString(conn, ok)
					c.end(w, conn, in)
				}
			})
			client := clientOf(t, "http://"+w.listener.Addr().String(), c.change)
			client.minIdle = c.minIdle
			t.Cleanup(client.transport.(*http.Transport).CloseIdleConnections) //nolint:forcetypeassert // ours; the server waits for their end
			first := send(t, client)
			require.Equal(t, http.StatusOK, first.StatusCode)
			require.False(t, first.SentBefore)
			reply := send(t, client)
			require.Equal(t, c.want, reply.StatusCode, reply.Cause)
			require.Equal(t, c.want == 200, reply.SentBefore, "the ERP may have read the first one, and says 409 to the second")
			require.Equal(t, c.want == 0, domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at).Doubtful)
			_, requests := w.settled(t)
			require.Equal(t, c.wantRequests, requests)
		})
	}
}

// Once is enough: an ERP that closes each connection is no ERP that has restarted.
func TestACallIsMadeAgainOnce(t *testing.T) {
	t.Parallel()
	var closing atomic.Bool
	w := onTheWire(t, func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
		for w.read(in) && !closing.Load() {
			_, _ = io.WriteString(conn, ok)
		}
	})
	c := clientOf(t, "http://"+w.listener.Addr().String(), nil)
	c.minIdle = 0
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	closing.Store(true)
	reply := send(t, c)
	require.Equal(t, domain.ErrorNetwork, reply.Failure)
	_, requests := w.settled(t)
	require.Equal(t, 3, requests)
}

// The call that is made again has what is left of the time, and no more.
func TestACallThatIsMadeAgainEndsInTime(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	w := onTheWire(t, func(w *wire, conn *net.TCPConn, in *bufio.Reader) {
		for w.read(in) {
			switch calls.Add(1) {
			case 1:
				_, _ = io.WriteString(conn, ok)
			case 2:
				return
			default:
				<-w.over
				return
			}
		}
	})
	c := clientOf(t, "http://"+w.listener.Addr().String(), func(s *setting.Settings) { s.ErpTimeout = 500 * time.Millisecond })
	c.minIdle = 0
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	began := time.Now()
	reply := send(t, c)
	require.Equal(t, domain.ErrorTimeout, reply.Failure)
	require.Less(t, time.Since(began), soon)
}

// Over HTTP/2 a stream that ends says nothing of the connection: the ERP may have booked the order.
func TestAStreamThatEndsIsNotMadeAgain(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	c := overHTTP2(t, 10*time.Minute, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if calls.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
	})
	c.minIdle = 0
	require.Equal(t, http.StatusOK, send(t, c).StatusCode)
	require.Equal(t, domain.ErrorNetwork, send(t, c).Failure)
	require.EqualValues(t, 2, calls.Load())
}

// What never had a connection cannot have been booked.
func TestWhatWasNotSentSaysSo(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	for _, base := range []string{"", "http://" + listener.Addr().String(), "http://0.0.0.0", "http://host:port"} {
		reply := send(t, clientOf(t, base, nil))
		require.True(t, reply.NotSent, base)
		require.False(t, domain.Classify(reply.Answer, domain.AnswerPolicy{}, false, at).Doubtful)
	}
}
