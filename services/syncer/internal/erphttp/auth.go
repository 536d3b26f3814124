package erphttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/erpconnector/erpconnector/shared/config"
)

// renewBefore is how long before its end a token is renewed.
const renewBefore = 30 * time.Second

// tokens are the OAuth 2 tokens of the client: one is kept until it ends or the ERP refuses it.
type tokens struct {
	oauth   config.OAuth
	secret  func() config.Secret
	client  *http.Client
	fetches chan struct{}             // holds an entry while one caller fetches a token, and the others wait
	fetch   *clientcredentials.Config // of the one that fetches; it remembers how the service wants the client's secret

	mu    sync.Mutex
	token *oauth2.Token
}

func newTokens(oauth config.OAuth, secret func() config.Secret, transport http.RoundTripper) *tokens {
	return &tokens{
		oauth: oauth, secret: secret, fetches: make(chan struct{}, 1),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// get returns the kept token, or a new one.
func (t *tokens) get(ctx context.Context) (*oauth2.Token, error) {
	if kept := t.kept(); kept != nil {
		return kept, nil
	}
	select {
	case t.fetches <- struct{}{}:
		defer func() { <-t.fetches }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if kept := t.kept(); kept != nil { // whoever fetched meanwhile
		return kept, nil
	}
	if secret := t.secret().Reveal(); t.fetch == nil || t.fetch.ClientSecret != secret {
		t.fetch = &clientcredentials.Config{ClientID: t.oauth.ClientID, ClientSecret: secret, TokenURL: t.oauth.TokenURL, Scopes: t.oauth.Scopes}
	}
	token, err := t.fetch.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
	if err != nil {
		return nil, tokenError(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = token
	return token, nil
}

// kept is the token in hand; nil when there is none, or it ends soon.
func (t *tokens) kept() *oauth2.Token {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == nil || !t.token.Expiry.IsZero() && time.Until(t.token.Expiry) < renewBefore {
		return nil
	}
	return t.token
}

// refuse forgets a token that the ERP has refused, unless there is a newer one.
func (t *tokens) refuse(token *oauth2.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token = nil
	}
}

// tokenError says why there is no token. The answer's body is left out, as it may repeat what was sent.
func tokenError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response != nil {
		return fmt.Errorf("no token for the ERP: the token service answered HTTP %d %s; check ERP_OAUTH_TOKEN_URL, _CLIENT_ID and _CLIENT_SECRET",
			refused.Response.StatusCode, refused.ErrorCode)
	}
	return fmt.Errorf("no token for the ERP: %w; check ERP_OAUTH_TOKEN_URL", withoutURL(err))
}
