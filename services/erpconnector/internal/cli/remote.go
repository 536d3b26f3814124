package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/netfail"
)

// remoteTimeout bounds one request; those that wait for the end of a sync have their own wait beside it.
const remoteTimeout = 30 * time.Second

// remote is the connector that a command asks over HTTP, as its flags name it.
type remote struct {
	url, context string
}

// flags adds what all commands over HTTP take.
func (r *remote) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.url, "url", "", "of the connector (default: ERPCONNECTOR_URL, the context in use, or HTTP_ADDR on this machine)")
	cmd.Flags().StringVar(&r.context, "context", "", "the installation to ask, by its name in `erpconnector context list`")
}

// target is where a connector is, and the token that it gets.
type target struct {
	url   string
	token config.Secret
	from  string // where the token comes from, or why there is none; for errors
}

// client makes one for the connector that flags, environment or contexts name.
func (r *remote) client(ctx context.Context) (client.Client, target, error) {
	t, err := r.target(ctx)
	if err != nil {
		return client.Client{}, t, err
	}
	c, err := client.New(t.url, t.token.Reveal())
	return c, t, err
}

// target takes the first of: --context, --url and ERPCONNECTOR_URL with the environment's token, the context in use, and what `up` on
// this machine has.
func (r *remote) target(ctx context.Context) (target, error) {
	if r.url != "" && r.context != "" {
		return target{}, errors.New("--url and --context name two connectors: leave one of them out")
	}
	lookup := environment(ctx)
	named := r.url
	if named == "" && r.context == "" {
		named, _ = lookup("ERPCONNECTOR_URL")
	}
	if named == "" {
		file, err := readContexts(lookup)
		if err != nil {
			return target{}, err
		}
		if name := cmp.Or(r.context, file.Current); name != "" {
			return file.target(name)
		}
	}
	here := demoFlags{}
	here.URL = named
	if err := here.reach(ctx); err != nil {
		return target{}, err
	}
	return target{here.URL, here.Token, here.TokenFrom}, nil
}

// failed makes an error of an answer, or of none, that says what to do.
func (t target) failed(err error) error {
	var p *client.ProblemError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case netfail.Refused(err):
		return fmt.Errorf("nothing listens at %s: start it, or name another one with --url or --context", t.url)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer within %s", t.url, remoteTimeout)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized:
		return fmt.Errorf("%s refuses the token (%s): set API_TOKEN, or `erpconnector context set` with another one", t.url, t.from)
	case errors.As(err, &p):
		return problemError(p)
	default:
		return fmt.Errorf("asking %s: %w", t.url, err)
	}
}

// problemError is a problem in the lines of an error: what is wrong as a whole, and then each place.
func problemError(p *client.ProblemError) error {
	all := []error{errors.New(domain.Printable(p.Detail))}
	if p.Errors != nil {
		for _, e := range *p.Errors {
			all = append(all, errors.New("  "+domain.Printable(placeOf(e)+" "+e.Detail)))
		}
	}
	return errors.Join(all...)
}

func placeOf(e client.FieldError) string {
	switch {
	case e.Parameter != nil:
		return *e.Parameter
	case e.Pointer != nil:
		return *e.Pointer
	}
	return ""
}

// withQuery adds parameters to a request.
func withQuery(values url.Values) client.RequestEditorFn {
	return func(_ context.Context, r *http.Request) error {
		q := r.URL.Query()
		for name, v := range values {
			q[name] = v
		}
		r.URL.RawQuery = q.Encode()
		return nil
	}
}
