package doctor

import (
	"context"
	"log/slog"
	"net/url"

	"github.com/erpconnector/erpconnector/shared/access/issuer"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// provider asks the identity provider what it says of itself, as a sign-in does, and tells which address it must know.
func (in Installation) provider(ctx context.Context) Finding {
	cfg := in.Config.HTTP.OIDC
	i, err := issuer.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return fail(err.Error(), "correct the variable; the services do not start with it")
	}
	back := in.Config.HTTP.PublicURL + config.SignInReturnPath
	to, err := i.SignInURL(ctx, issuer.NewSignIn(), back)
	if err != nil {
		return warn(domain.Printable(err.Error()), "see whether OIDC_ISSUER is right, and whether this machine reaches it; tokens made here work all the same")
	}
	u, err := url.Parse(to)
	if err != nil {
		return cannotTell(err)
	}
	if cfg.ClientID == "" {
		return ok(cfg.Issuer + " answers; nobody signs in to the console there, as OIDC_CLIENT_ID is not set")
	}
	return ok("people sign in at " + u.Host + "; it must know " + back + " as an address to come back to")
}
