package alert

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/setting"
)

func sending(s setting.Settings) *Sender {
	return NewSender(setting.Fixed(s), config.ERP{}, config.Mail{}, func() config.Secret { return "" })
}

// What a destination answers is read, whatever it is, and no more of it than is kept.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   Answer
	}{
		"taken":         {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, Answer{Delivered: true, HTTPStatus: 204}},
		"a_long_answer": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("x", 1<<20))) }, Answer{Delivered: true, HTTPStatus: 200, Said: strings.Repeat("x", maxAnswer)}},
		"a_redirect":    {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, Answer{HTTPStatus: 302}},
		"a_terminal": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = w.Write([]byte("\x1b[2J\xff"))
		}, Answer{HTTPStatus: 500, Said: `\x1b[2J\xff`}},
		"gone":            {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, Answer{HTTPStatus: 410, Gone: true}},
		"a_broken_answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Answer{Said: "EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls.Add(1); c.answer(w, r) }))
			t.Cleanup(server.Close)
			got, err := sending(setting.Defaults()).Test(t.Context(), webhook(server.URL+"/?token=hunter2"), "jane")
			require.NoError(t, err)
			require.EqualValues(t, 1, calls.Load(), "nobody follows a redirect")
			require.Equal(t, c.want, got.Answer)
			require.Regexp(t, `^msg_[A-Z2-7]{20,}$`, got.MessageID)
		})
	}
}

// A name that leads to an address that is refused is refused as well: it is checked when it is dialled.
func TestANameDoesNotLeadToARefusedAddress(t *testing.T) {
	t.Parallel()
	s := setting.Defaults()
	s.Egress.RefusePrivate, s.AlertAllowHTTP = true, true
	got := sending(s).Send(t.Context(), webhook("http://localhost:1/"), "msg_1", "{}")
	require.Contains(t, got.Said, "an address of the machine itself")
	got = sending(setting.Defaults()).Send(t.Context(), webhook("http://ops.example.com/hunter2"), "msg_1", "{}")
	require.Equal(t, "the address must be https; the setting alert_allow_http allows http", got.Said)
}

// silentTransport never answers.
type silentTransport struct{}

func (silentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestADestinationThatIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sending(setting.Defaults())
		s.transport = silentTransport{}
		began := time.Now()
		got := s.Send(t.Context(), webhook("https://ops.example.com/hunter2"), "msg_1", "{}")
		require.Equal(t, Answer{Said: "no answer within 15s"}, got)
		require.Equal(t, SendTimeout, time.Since(began))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, s.Send(ctx, webhook("https://ops.example.com/"), "msg_1", "{}").Delivered)
	})
}
