package issuer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/run"
)

const (
	// freshFor is how long keys count, so within how long one that the issuer has withdrawn is refused.
	freshFor = 10 * time.Minute
	// staleFor is how long keys count while the issuer does not answer.
	staleFor = time.Hour
	// askInterval is the time between two requests to the issuer, however many tokens name a key that it has not.
	askInterval = 5 * time.Second

	askTimeout     = 5 * time.Second
	maxAnswerBytes = 1 << 20
	maxErrorBytes  = 300
)

// discovered is what the issuer says of itself.
type discovered struct {
	set      []jose.JSONWebKey
	endpoint oauth2.Endpoint // where people sign in
}

var (
	errUnknownKey = errors.New("the issuer has no key of that id")
	errNoEndpoint = errors.New("the issuer names no place to sign in at (authorization_endpoint, token_endpoint)")
	errSignature  = errors.New("the signature is not that of the issuer's key")
)

// keys are what the issuer signs with. go-oidc's own key set asks the issuer for each token with an unknown key, and keeps a key that was
// withdrawn for ever. It is safe for concurrent use.
type keys struct {
	issuer string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	asking singleflight.Group

	mu      sync.Mutex
	found   discovered
	fetched time.Time // when that was
	asked   time.Time // the last time, with or without an answer
	err     error     // of that time
	outage  run.Outage
}

func newKeys(issuer string, now func() time.Time, log *slog.Logger) *keys {
	return &keys{
		issuer: issuer, now: now, log: log, client: &http.Client{Timeout: askTimeout, Transport: limited{http.DefaultTransport}},
		outage: run.Outage{Began: "the issuer of tokens does not answer; its tokens are not checked when its keys are too old", Ended: "the issuer of tokens answers again"},
	}
}

// find returns the keys that may have signed under an id; empty: any. It asks the issuer when the id is not known, or the keys are old.
func (k *keys) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	if found, fresh := k.known(id, freshFor); fresh && len(found) > 0 {
		return found, nil
	}
	if err := k.askWithOthers(ctx); err != nil {
		return nil, err
	}
	found, fresh := k.known(id, staleFor)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case fresh && len(found) > 0:
		return found, nil
	case k.err != nil:
		return nil, k.err
	default:
		return nil, errUnknownKey
	}
}

// endpoint is where people sign in. It asks the issuer when what it has said is old.
func (k *keys) endpoint(ctx context.Context) (oauth2.Endpoint, error) {
	if found, fresh := k.knownEndpoint(freshFor); fresh {
		return found, nil
	}
	if err := k.askWithOthers(ctx); err != nil {
		return oauth2.Endpoint{}, err
	}
	if found, fresh := k.knownEndpoint(staleFor); fresh {
		return found, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return oauth2.Endpoint{}, cmp.Or(k.err, errNoEndpoint)
}

// knownEndpoint is that of the issuer, and whether it was fetched so lately.
func (k *keys) knownEndpoint(within time.Duration) (oauth2.Endpoint, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.found.endpoint
	return e, k.now().Sub(k.fetched) < within && e.AuthURL != "" && e.TokenURL != ""
}

// askWithOthers waits until the issuer has been asked, once for all who wait.
func (k *keys) askWithOthers(ctx context.Context) error {
	select {
	case <-k.asking.DoChan("", func() (any, error) { k.ask(); return struct{}{}, nil }):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// known are the keys of an id, and whether they were fetched so lately.
func (k *keys) known(id string, within time.Duration) (found []jose.JSONWebKey, fresh bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.found.set {
		if (id == "" || key.KeyID == id) && key.Use != "enc" {
			found = append(found, key)
		}
	}
	return found, k.now().Sub(k.fetched) < within
}

// ask fetches the keys, unless that was tried a moment ago. It outlasts the request that has led to it, as others wait for it too.
func (k *keys) ask() {
	k.mu.Lock()
	early := k.now().Sub(k.asked) < askInterval
	k.mu.Unlock()
	if early {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*askTimeout) // two requests
	defer cancel()
	found, err := k.fetch(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.err = k.now(), err
	if err == nil {
		k.found, k.fetched = found, k.asked
	}
	k.outage.Report(k.log, err)
}

// fetch reads what the issuer says of itself, and its keys.
func (k *keys) fetch(ctx context.Context) (found discovered, err error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.issuer)
	if err != nil {
		return found, errors.New("discovering the issuer: " + domain.Truncate(err.Error(), maxErrorBytes)) // it quotes the page of whoever answers
	}
	var where struct {
		URL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&where); err != nil {
		return found, fmt.Errorf("discovering the issuer: %w", err)
	}
	found.endpoint = provider.Endpoint()
	if found.set, err = k.fetchSet(ctx, where.URL); err != nil {
		return found, fmt.Errorf("fetching the issuer's keys: %w", err)
	}
	return found, nil
}

func (k *keys) fetchSet(ctx context.Context, url string) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var body struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
		return nil, err
	}
	return readable(body.Keys), nil
}

// readable are the keys of a kind that is known here; an issuer may have others for others.
func readable(raw []json.RawMessage) (set []jose.JSONWebKey) {
	for _, r := range raw {
		var key jose.JSONWebKey
		if json.Unmarshal(r, &key) == nil && key.IsPublic() {
			set = append(set, key)
		}
	}
	return set
}

// signatures checks the signature of one token, and notes when it could not as the issuer is away: go-oidc tells only that it failed.
type signatures struct {
	keys *keys
	away error
}

// VerifySignature returns what was signed.
func (s *signatures) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, err
	}
	found, err := s.keys.find(ctx, jws.Signatures[0].Header.KeyID)
	if err != nil {
		if !errors.Is(err, errUnknownKey) {
			s.away = err
		}
		return nil, err
	}
	for _, key := range found {
		if payload, err := jws.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, errSignature
}

// limited refuses to read more of an answer than keys can be long.
type limited struct{ next http.RoundTripper }

// RoundTrip sends a request.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswerBytes)
	}
	return resp, err
}
