package erphttp

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// overHTTP2 is a client of an ERP that speaks HTTP/2, as most do behind https: net/http has a transport of its own for it.
func overHTTP2(t *testing.T, timeout time.Duration, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	c := clientOf(t, server.URL, func(s *setting.Settings) { s.ErpTimeout = timeout })
	trusted := server.Client().Transport.(*http.Transport).TLSClientConfig  //nolint:forcetypeassert // httptest's
	c.transport.(*http.Transport).TLSClientConfig.RootCAs = trusted.RootCAs //nolint:forcetypeassert // ours
	return c
}

// endlessHTTP2 answer until their caller has left.
var endlessHTTP2 = map[string]http.HandlerFunc{
	"silence": func(http.ResponseWriter, *http.Request) {},
	"interim_answers_now_and_then": func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
			select {
			case <-r.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	},
	"a_body_without_an_end": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{")
		_ = http.NewResponseController(w).Flush()
	},
}

func TestACallOverHTTP2EndsAtItsTimeoutAndAtOnceWhenItIsCutOff(t *testing.T) {
	t.Parallel()
	for name, answer := range endlessHTTP2 {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reached := make(chan struct{}, 2)
			h := func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil || r.ProtoMajor != 2 {
					return
				}
				reached <- struct{}{}
				answer(w, r)
				<-r.Context().Done()
			}
			began := time.Now()
			reply := send(t, overHTTP2(t, 500*time.Millisecond, h))
			require.Less(t, time.Since(began), soon)
			require.Equal(t, domain.ErrorTimeout, reply.Failure)
			<-reached

			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan Reply, 1)
			c := overHTTP2(t, 10*time.Minute, h)
			go func() { done <- peer{}.send(ctx, c) }()
			<-reached
			cancel()
			select {
			case reply := <-done:
				require.True(t, reply.Cancelled)
			case <-time.After(soon):
				require.Fail(t, "the call goes on")
			}
		})
	}
}

func TestWhatIsNoAnswerOverHTTP2(t *testing.T) {
	t.Parallel()
	t.Run("interim_answers_without_an_end", func(t *testing.T) {
		t.Parallel()
		c := overHTTP2(t, 10*time.Minute, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
			}
		})
		reply := send(t, c)
		require.Equal(t, domain.ErrorNetwork, reply.Failure)
		require.Contains(t, reply.Cause, "more than 100 interim answers (HTTP 1xx) came, and no answer")
	})
	t.Run("a_success_though_nobody_read_the_order", func(t *testing.T) {
		t.Parallel()
		c := overHTTP2(t, 10*time.Minute, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"erp_reference":"1"}`) })
		o := domain.Classify(peer{unread: true}.send(t.Context(), c).Answer, domain.AnswerPolicy{}, false, at)
		require.Equal(t, domain.OutcomeRetryable, o.Kind)
		require.Contains(t, o.Error, "bytes of the order were still to be sent")
	})
	t.Run("a_success", func(t *testing.T) {
		t.Parallel()
		c := overHTTP2(t, 10*time.Minute, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, `{"erp_reference":"`+r.Proto+`"}`)
		})
		o := domain.Classify(send(t, c).Answer, domain.AnswerPolicy{}, false, at)
		require.Equal(t, domain.OutcomeSuccess, o.Kind)
		require.Equal(t, "HTTP/2.0", *o.Reference)
	})
}
