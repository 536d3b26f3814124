// Package issuer takes tokens of an identity provider by OpenID Connect: JWTs that it has signed, with claims that say what their holder may do.
// It lets people sign in there too (sign_in.go).
//
//	OIDC_ISSUER=https://login.example.com/realms/shop OIDC_AUDIENCE=erpconnector
//	OIDC_RESOURCES='groups:erp-support=view_status,resync;groups:erp-admin=all'
//
// The provider is asked for its keys when a token needs them, never at the start: while it is away, tokens of others work.
package issuer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// skew is how much the provider's clock may be behind ours. go-oidc allows as much and more for one that is ahead.
const skew = time.Minute

// algorithms are those that prove who has signed. "none" proves nothing, and HS256 would take a public key for a shared secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Issuer is an identity provider. It is safe for concurrent use.
type Issuer struct {
	cfg   config.OIDC
	rules []rule
	keys  *keys
	log   *slog.Logger
	now   func() time.Time
}

// New makes an Issuer. It asks nobody yet. The error names a rule that cannot be.
func New(cfg config.OIDC, log *slog.Logger) (*Issuer, error) {
	rules, err := rulesOf(cfg.Rules)
	if err != nil {
		return nil, err
	}
	log = log.With("service", "access")
	i := &Issuer{cfg: cfg, rules: rules, log: log, now: time.Now}
	i.keys = newKeys(cfg.Issuer, func() time.Time { return i.now() }, log)
	return i, nil
}

// Identify returns who holds a token, from its claims. It returns httpapi.ErrNoToken for what the provider has not signed for us or what has
// expired, and httpapi.ErrIssuerAway when the provider does not answer.
func (i *Issuer) Identify(ctx context.Context, token string) (httpapi.Identity, error) {
	if i.cfg.Audience == "" || !i.names(token) {
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	_, claims, err := i.verify(ctx, token, i.cfg.Audience)
	switch {
	case errors.Is(err, httpapi.ErrIssuerAway):
		return httpapi.Identity{}, err
	case err != nil:
		i.log.Debug("token of the issuer refused", "error", err)
		return httpapi.Identity{}, httpapi.ErrNoToken
	}
	return i.identity(claims)
}

// verify returns what the issuer has signed for an audience, and its claims. The error is httpapi.ErrIssuerAway when nobody can tell.
func (i *Issuer) verify(ctx context.Context, token, audience string) (checked *oidc.IDToken, claims map[string]any, err error) {
	signed := &signatures{keys: i.keys}
	checked, err = oidc.NewVerifier(i.cfg.Issuer, signed, i.verification(audience)).Verify(ctx, token)
	if signed.away != nil {
		return nil, nil, fmt.Errorf("%w: %w", httpapi.ErrIssuerAway, signed.away)
	}
	if err == nil {
		err = checked.Claims(&claims)
	}
	return checked, claims, err
}

func (i *Issuer) verification(audience string) *oidc.Config {
	c := &oidc.Config{ClientID: audience, Now: func() time.Time { return i.now().Add(-skew) }}
	for _, a := range algorithms {
		c.SupportedSigningAlgs = append(c.SupportedSigningAlgs, string(a))
	}
	return c
}

// names reports whether a text is a JWT that says it is of this issuer, whoever wrote it. Others are no reason to ask the issuer.
func (i *Issuer) names(token string) bool {
	const parts = 3
	if strings.Count(token, ".") != parts-1 {
		return false
	}
	jws, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return false
	}
	var said struct {
		Issuer string `json:"iss"`
	}
	return json.Unmarshal(jws.UnsafePayloadWithoutVerification(), &said) == nil && said.Issuer == i.cfg.Issuer
}
