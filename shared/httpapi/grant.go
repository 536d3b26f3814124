package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/config"
)

// Identity is who a token stands for.
type Identity struct {
	Name      string // for the log and histories
	Resources []Resource
	All       bool       // it holds every resource, whatever Resources says
	Source    string     // the one shop that the token is for; empty: all
	ExpiresAt *time.Time // of the token; nil: never
}

// environmentName is the name of the token of the environment.
const environmentName = "api"

// IsReservedName reports whether the log and histories mean another by a name: the token of the environment, or the ERP's callbacks.
func IsReservedName(name string) bool {
	return slices.Contains([]string{environmentName, "webhook"}, strings.ToLower(strings.TrimSpace(name)))
}

// Holds reports whether the identity holds a resource.
func (i Identity) Holds(r Resource) bool {
	return i.All || slices.Contains(i.Resources, r) || slices.ContainsFunc(i.Resources, func(held Resource) bool { return slices.Contains(implied[held], r) })
}

// enter binds the identity to the shop that the request's path names, if it names one and the route heeds shops. It reports false when the
// identity is bound to another.
func (i *Identity) enter(shop string, bySource bool) bool {
	if shop == "" || !bySource {
		return true
	}
	if i.Source != "" && i.Source != shop {
		return false
	}
	i.Source = shop
	return true
}

// ErrIssuerAway says that whoever issues tokens beside us does not answer.
var ErrIssuerAway = errors.New("the issuer of tokens does not answer")

// Held are all resources that the identity holds, also by others that it holds.
func (i Identity) Held() []Resource {
	return slices.DeleteFunc(slices.Clone(Resources), func(r Resource) bool { return !i.Holds(r) })
}

// ErrNoToken says that a text is no token, or none that is in force.
var ErrNoToken = errors.New("is no token that is in force")

// Identifier tells whose token a text is. It returns ErrNoToken when it is nobody's, and another error when that could not be told.
type Identifier interface {
	Identify(ctx context.Context, token string) (Identity, error)
}

// Identifiers ask one after the other, until one knows the token or cannot tell.
type Identifiers []Identifier

// Identify is the first one's answer that is not ErrNoToken.
func (is Identifiers) Identify(ctx context.Context, token string) (Identity, error) {
	for _, i := range is {
		if id, err := i.Identify(ctx, token); !errors.Is(err, ErrNoToken) {
			return id, err
		}
	}
	return Identity{}, ErrNoToken
}

// configured knows the token of the environment, which holds everything, and asks next for others. next may be nil.
type configured struct {
	token func() config.Secret // the one in force now; empty: there is none
	next  Identifier
}

func (c configured) Identify(ctx context.Context, token string) (Identity, error) {
	known := c.token()
	want, got := sha256.Sum256([]byte(known)), sha256.Sum256([]byte(token))
	if known != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return Identity{Name: environmentName, All: true}, nil
	}
	if c.next == nil {
		return Identity{}, ErrNoToken
	}
	return c.next.Identify(ctx, token)
}

type identityKey struct{}

// WithIdentity is the context of a request by that identity.
func WithIdentity(ctx context.Context, i Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, i)
}

// IdentityOf is whose request it is; of a request without a token, nobody's, who holds nothing.
func IdentityOf(ctx context.Context) Identity {
	if i, ok := ctx.Value(identityKey{}).(Identity); ok {
		return i
	}
	if v := visitOf(ctx); v != nil {
		return v.identity
	}
	return Identity{}
}

// Holds reports whether the token of the request holds a resource beside the route's, for a handler whose answer depends on what
// is asked. Without a token it holds none.
func Holds(ctx context.Context, r Resource) bool { return IdentityOf(ctx).Holds(r) }

// Requester is who sends the request, for the log and histories.
func Requester(ctx context.Context) string { return IdentityOf(ctx).Name }

// BoundSource is the one shop that the token of the request is for; empty: all.
func BoundSource(ctx context.Context) string { return IdentityOf(ctx).Source }

// grant is how the request's token was found to be good.
type grant struct {
	who      Identifier
	token    string
	resource Resource
}

// StillGranted reports whether the token of the request is in force now, for an answer that takes long. While that cannot be told, it is.
func StillGranted(ctx context.Context) bool {
	v := visitOf(ctx)
	if v == nil || v.grant.who == nil {
		return true
	}
	g := v.grant
	id, err := g.who.Identify(ctx, g.token)
	return (err == nil && id.Holds(g.resource)) || (err != nil && !errors.Is(err, ErrNoToken))
}
