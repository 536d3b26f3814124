package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"

	"github.com/erpconnector/erpconnector/shared/config"
)

// Identity is who a token stands for.
type Identity struct {
	Name      string // for the log and histories
	Resources []Resource
	All       bool   // it holds every resource, whatever Resources says
	Source    string // the one shop that the token is for; empty: all
}

// Holds reports whether the identity holds a resource.
func (i Identity) Holds(r Resource) bool {
	return i.All || slices.Contains(i.Resources, r) || slices.ContainsFunc(i.Resources, func(held Resource) bool { return slices.Contains(implied[held], r) })
}

// ErrNoToken says that a text is no token, or none that is in force.
var ErrNoToken = errors.New("is no token that is in force")

// Identifier tells whose token a text is. It returns ErrNoToken when it is nobody's, and another error when that could not be told.
type Identifier interface {
	Identify(ctx context.Context, token string) (Identity, error)
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
		return Identity{Name: "api", All: true}, nil
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

// identityOf is whose request it is; of a request without a token, nobody's, who holds nothing.
func identityOf(ctx context.Context) Identity {
	i, _ := ctx.Value(identityKey{}).(Identity)
	return i
}

// Holds reports whether the token of the request holds a resource beside the route's, for a handler whose answer depends on what
// is asked. Without a token it holds none.
func Holds(ctx context.Context, r Resource) bool { return identityOf(ctx).Holds(r) }

// Requester is who sends the request, for the log and histories.
func Requester(ctx context.Context) string { return identityOf(ctx).Name }

// BoundSource is the one shop that the token of the request is for; empty: all.
func BoundSource(ctx context.Context) string { return identityOf(ctx).Source }
