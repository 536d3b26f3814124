package httpapi

import "context"

// Grant says which ACL resources the token of a request holds.
type Grant func(Resource) bool

// everything is the grant of the configured token.
func everything(Resource) bool { return true }

type grantKey struct{}

// WithGrant is the context of a request whose token holds what the grant says.
func WithGrant(ctx context.Context, g Grant) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// Holds reports whether the token of the request holds a resource beside the route's, for a handler whose answer depends on what
// is asked. Without a token it holds none.
func Holds(ctx context.Context, r Resource) bool {
	g, ok := ctx.Value(grantKey{}).(Grant)
	return ok && g(r)
}
