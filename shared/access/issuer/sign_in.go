package issuer

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// ErrSignIn says that the issuer has not let somebody in, or that what it says is not about this sign-in.
var ErrSignIn = errors.New("the issuer does not say who has signed in")

// SignIn is a sign-in under way. Only the browser that has begun it may know it: it keeps it while its user is at the issuer.
type SignIn struct {
	State    string // comes back with the user, so that nobody can be made to end a sign-in of somebody else
	Nonce    string // stands in the ID token, so that one from elsewhere is not taken
	Verifier string // PKCE's: without it a code is worth nothing
}

// NewSignIn makes one. Each of its texts has at least 128 random bits.
func NewSignIn() SignIn {
	return SignIn{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier()}
}

// Person is somebody who has signed in. The identity's end is that of the ID token.
type Person struct {
	Subject  string // by which the issuer knows the person, whatever the name
	Identity httpapi.Identity
}

// SignInURL is where the browser goes to sign in; the issuer sends it back to returnTo with a code. It returns httpapi.ErrIssuerAway while
// the issuer does not answer.
func (i *Issuer) SignInURL(ctx context.Context, s SignIn, returnTo string) (string, error) {
	client, err := i.client(ctx, returnTo)
	if err != nil {
		return "", err
	}
	return client.AuthCodeURL(s.State, oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)), nil
}

// Finish trades the code for an ID token, and returns whom that names. It returns ErrSignIn for a code or a token that is not good, and
// httpapi.ErrIssuerAway while the issuer does not answer.
func (i *Issuer) Finish(ctx context.Context, s SignIn, code, returnTo string) (Person, error) {
	client, err := i.client(ctx, returnTo)
	if err != nil {
		return Person{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, i.keys.client), askTimeout)
	defer cancel()
	tokens, err := client.Exchange(ctx, code, oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return Person{}, exchangeError(err)
	}
	token, _ := tokens.Extra("id_token").(string)
	return i.person(ctx, s, token)
}

// client is what we are at the issuer.
func (i *Issuer) client(ctx context.Context, returnTo string) (*oauth2.Config, error) {
	endpoint, err := i.keys.endpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", httpapi.ErrIssuerAway, err)
	}
	return &oauth2.Config{
		ClientID: i.cfg.ClientID, ClientSecret: i.cfg.CurrentClientSecret().Reveal(), Endpoint: endpoint, RedirectURL: returnTo, Scopes: i.cfg.Scopes,
	}, nil
}

// exchangeError tells an issuer that refuses from one that is away. It may quote what the issuer has answered, and that may be a page.
func exchangeError(err error) error {
	const serverErrors = 500
	kind := httpapi.ErrIssuerAway
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response.StatusCode < serverErrors {
		kind = ErrSignIn
	}
	return fmt.Errorf("%w: trading the code: %s", kind, domain.Printable(domain.Truncate(err.Error(), maxErrorBytes)))
}

// person is whom an ID token names that was made for us, in this sign-in.
func (i *Issuer) person(ctx context.Context, s SignIn, token string) (Person, error) {
	checked, claims, err := i.verify(ctx, token, i.cfg.ClientID)
	if errors.Is(err, httpapi.ErrIssuerAway) {
		return Person{}, err
	}
	if err == nil {
		err = i.isOurs(checked, claims, s)
	}
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrSignIn, err)
	}
	identity, err := i.identity(claims)
	if err != nil {
		return Person{}, fmt.Errorf("%w: the ID token names nobody", ErrSignIn)
	}
	identity.ExpiresAt = &checked.Expiry
	return Person{Subject: checked.Subject, Identity: identity}, nil
}

// isOurs checks what OpenID Connect Core 3.1.3.7 asks for and go-oidc does not.
func (i *Issuer) isOurs(t *oidc.IDToken, claims map[string]any, s SignIn) error {
	party, named := claims["azp"]
	switch {
	case s.Nonce == "" || subtle.ConstantTimeCompare([]byte(t.Nonce), []byte(s.Nonce)) != 1:
		return errors.New("the ID token is of another sign-in (nonce)")
	case named && party != i.cfg.ClientID:
		return errors.New("the ID token is for another client (azp)")
	case t.Subject == "":
		return errors.New("the ID token names nobody (sub)")
	case !t.Expiry.After(i.now()):
		return errors.New("the ID token has expired: do both clocks follow NTP?")
	default:
		return nil
	}
}
