package alerter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// received is a notice as a receiver has read it.
type received struct {
	ID       string
	Verified bool
	Type     string
	Data     struct {
		AlertID, Alert, Event, Subject, Text string
		Level, More                          int64
		Details                              map[string]any
	}
	Slack string // the text, where it was Slack's form
}

// receiver is somebody's server. It knows nothing of the connector's code: it checks signatures by the text of Standard Webhooks 1.0.0.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	secret   string
	requests []received
	answers  []int // of the next requests; afterwards it is 200
	header   http.Header
}

func receiving(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{header: http.Header{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		got := received{ID: req.Header.Get("webhook-id"), Verified: verify(r.secret, req.Header, body, time.Now())}
		var slack struct{ Text string }
		_ = json.Unmarshal(body, &slack)
		got.Slack = slack.Text
		_ = json.Unmarshal([]byte(strings.NewReplacer("alert_id", "AlertID").Replace(string(body))), &got)
		r.requests = append(r.requests, got)
		status := http.StatusOK
		if len(r.answers) > 0 {
			status, r.answers = r.answers[0], r.answers[1:]
		}
		for name := range r.header {
			w.Header().Set(name, r.header.Get(name))
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "thank you\x1b[2J")
	}))
	t.Cleanup(r.Close)
	return r
}

// verify is a receiver's check, written from the specification: the key is what stands behind whsec_ in base64, what is signed is
// id.timestamp.body, the header is a list with spaces, a timestamp is good for five minutes.
func verify(secret string, header http.Header, body []byte, now time.Time) bool {
	seconds, err := strconv.ParseInt(header.Get("webhook-timestamp"), 10, 64)
	if err != nil || now.Unix()-seconds > 300 || seconds-now.Unix() > 300 {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) < 24 {
		return false
	}
	sum := hmac.New(sha256.New, key)
	_, _ = sum.Write([]byte(header.Get("webhook-id") + "." + header.Get("webhook-timestamp") + "."))
	_, _ = sum.Write(body)
	for _, part := range strings.Split(header.Get("webhook-signature"), " ") {
		version, signature, _ := strings.Cut(part, ",")
		given, err := base64.StdEncoding.DecodeString(signature)
		if version == "v1" && err == nil && hmac.Equal(given, sum.Sum(nil)) {
			return true
		}
	}
	return false
}

// got are the requests so far.
func (r *receiver) got() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]received(nil), r.requests...)
}

// take are the requests since the last take.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.requests
	r.requests = nil
	return out
}

// answer says what the next requests get.
func (r *receiver) answer(statuses ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = statuses
}

// The receiver's check is right where the specification's own example is, so that what it finds good is good.
func TestTheReceiverKnowsTheVectorOfTheSpecification(t *testing.T) {
	t.Parallel()
	header := http.Header{}
	header.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	header.Set("webhook-timestamp", "1614265330")
	header.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	body, at := `{"test": 2432232314}`, time.Unix(1614265330, 0)
	require.True(t, verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", header, []byte(body), at))
	require.False(t, verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", header, []byte(body+" "), at))
	require.False(t, verify("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", header, []byte(body), at.Add(time.Hour)))
}

func TestMain(m *testing.M) { testkit.Main(m) }
