package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/netfail"
)

// remoteTimeout bounds one request; those that wait for the end of a sync have their own wait beside it. On the stores nothing bounds it.
const remoteTimeout = 30 * time.Second

// remote is the connector that a command asks, as its flags name it.
type remote struct {
	url, context string
	orStores     bool // without these flags it works on the stores, where DATABASE_URL is set
}

// flags adds what all commands over HTTP take.
func (r *remote) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.url, "url", "", "the `URL` of the connector (default: ERPCONNECTOR_URL, the context in use, or HTTP_ADDR on this machine)")
	cmd.Flags().StringVar(&r.context, "context", "", "the installation to ask, by its `NAME` in erpconnector context list")
	completeContexts(cmd)
}

// operator makes all subcommands of a command ask a connector, or work on the stores.
func (r *remote) operator(cmd *cobra.Command) {
	r.orStores = true
	cmd.PersistentFlags().StringVar(&r.url, "url", "", "the `URL` of the connector to ask, over HTTP (default: the stores, where DATABASE_URL is set; else as erpconnector list does)")
	cmd.PersistentFlags().StringVar(&r.context, "context", "", "the installation to ask, over HTTP, by its `NAME` in erpconnector context list")
	completeContexts(cmd)
}

// connector is what answers a command: over HTTP, or the same routes in this process, on the stores.
type connector struct {
	client.Client
	target

	stores bool
}

// client makes one for the connector that flags, environment or contexts name.
func (r *remote) client(ctx context.Context) (client.Client, target, error) {
	t, err := r.target(ctx)
	if err != nil {
		return client.Client{}, t, err
	}
	c, err := client.New(t.url, t.token.Reveal(), client.WithTransport(fromConnector{http.DefaultTransport}))
	return c, t, err
}

// fromConnector lets only answers through that a connector gives, and redirections.
type fromConnector struct{ next http.RoundTripper }

var connectorTypes = []string{"application/json", "application/problem+json", "application/x-ndjson", "text/event-stream", httpapi.BytesType}

// RoundTrip makes a request.
func (f fromConnector) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.next.RoundTrip(r)
	if err != nil || resp.Header.Get("Location") != "" {
		return resp, err
	}
	if kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";"); !slices.Contains(connectorTypes, kind) {
		_ = resp.Body.Close()
		return nil, &noConnectorError{resp.Status}
	}
	return resp, nil
}

// noConnectorError is an answer that no connector gives: it comes from another program.
type noConnectorError struct{ status string }

// Error says what came.
func (e *noConnectorError) Error() string { return "no connector answers: HTTP " + e.status }

// onStores reports whether the command works on the stores: they are named, and no connector is by a flag.
func (r *remote) onStores(ctx context.Context) bool {
	if !r.orStores || r.url != "" || r.context != "" {
		return false
	}
	for _, name := range []string{"DATABASE_URL", "DATABASE_URL_FILE"} {
		if value, _ := environment(ctx)(name); value != "" {
			return true
		}
	}
	return false
}

// ask gives use the connector, or the stores.
func (r *remote) ask(ctx context.Context, use func(connector) error) error {
	return r.askFor(ctx, false, use)
}

// askWithKafka is ask for what needs the brokers too, where it works on the stores.
func (r *remote) askWithKafka(ctx context.Context, use func(connector) error) error {
	return r.askFor(ctx, true, use)
}

func (r *remote) askFor(ctx context.Context, brokers bool, use func(connector) error) error {
	if r.onStores(ctx) {
		return withStores(ctx, brokers, use)
	}
	c, t, err := r.client(ctx)
	if err != nil {
		return err
	}
	t.orStores = r.orStores
	return use(connector{Client: c, target: t})
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
	return targetHere(ctx, named)
}

// request is one of a client's methods, with what it takes.
type request func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error)

// get makes a request with a query, and reads the answer's JSON into answer, if that is not nil. It returns the JSON too.
func (c connector) get(ctx context.Context, do request, query url.Values, answer any) (json.RawMessage, error) {
	if !c.stores {
		limited, cancel := context.WithTimeout(ctx, remoteTimeout)
		defer cancel()
		ctx = limited
	}
	resp, err := do(ctx, withQuery(query))
	if err != nil {
		return nil, c.failed(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, c.failed(&noConnectorError{resp.Status})
	}
	var raw json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&raw); err != nil {
		return nil, c.failed(err)
	}
	if answer == nil {
		return raw, nil
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return nil, c.failed(fmt.Errorf("reading the answer: %w", err))
	}
	return raw, nil
}

// change makes a request without a query, and reads the answer's JSON into answer.
func (c connector) change(ctx context.Context, do request, answer any) error {
	_, err := c.get(ctx, do, nil, answer)
	return err
}

// bytes makes a request whose answer is what others wrote, byte for byte. Nothing bounds how long it takes to come, once it comes.
func (c connector) bytes(ctx context.Context, do request) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(remoteTimeout, func() { cancel(context.DeadlineExceeded) })
	resp, err := do(ctx, withQuery(nil))
	if err != nil {
		if late := context.Cause(ctx); late != nil {
			err = late
		}
		return nil, c.failed(err)
	}
	late.Stop()
	defer func() { _ = resp.Body.Close() }()
	if resp.Header.Get("Content-Type") != httpapi.BytesType {
		return nil, c.failed(&noConnectorError{resp.Status})
	}
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, c.failed(fmt.Errorf("reading the answer: %w", err))
	}
	return content, nil
}

// failed makes an error of an answer, or of none, that says what to do.
func (t target) failed(err error) error {
	var p *client.ProblemError
	var noHost *net.DNSError
	var other *noConnectorError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &other):
		return fmt.Errorf("what answers at %s is no connector, or an older one (HTTP %s): check the address, and what stands between", t.url, other.status)
	case errors.As(err, &noHost):
		return fmt.Errorf("the name %q of %s is not known: check the address (%s)", noHost.Name, t.url, noHost.Err)
	case netfail.Refused(err):
		or := ""
		if t.orStores {
			or = ", or the stores with DATABASE_URL"
		}
		return fmt.Errorf("nothing listens at %s: start it, or name another one with --url or --context%s", t.url, or)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer within %s", t.url, remoteTimeout)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized:
		return fmt.Errorf("%s refuses the token (%s): set API_TOKEN, or `erpconnector context set` with another one", t.url, t.from)
	case errors.As(err, &p):
		return refusal{problemError(p), p}
	default:
		return fmt.Errorf("asking %s: %w", t.url, err)
	}
}

// refusal is a problem, told for people.
type refusal struct {
	error

	problem *client.ProblemError
}

// Unwrap lets errors.As find the problem's code.
func (r refusal) Unwrap() error { return r.problem }

// hasCode reports whether an error is a problem with the code.
func hasCode(err error, code string) bool {
	var p *client.ProblemError
	return errors.As(err, &p) && p.Code == code
}

// asCommands says by commands and flags what the API says by routes and members.
var asCommands = strings.NewReplacer(
	"name it with ?source=", "name it with --source",
	"name its shop (source)", "name its shop with --source",
	`ask again with "newKey": true and a "reason"`, "ask again with --new-key and a --reason",
	string(httpapi.ResourcePrefix), "",
	"GET /rest/V1/erpconnector/erp shows", "erpconnector erp status shows",
	"GET /rest/V1/erpconnector/tokens?all=true lists", "`erpconnector token list --all` lists",
	"GET /rest/V1/erpconnector/users lists", "`erpconnector user list` lists",
	"GET /rest/V1/erpconnector/alerts/destinations lists", "`erpconnector alert list` lists",
	"GET /rest/V1/erpconnector/bulk/jobs lists", "`erpconnector bulk list` lists",
	"GET /rest/V1/erpconnector/dead-letters lists", "`erpconnector deadletter list` lists",
	"GET /rest/V1/erpconnector/quarantine lists", "`erpconnector quarantine list` lists",
)

var (
	eventRoute = regexp.MustCompile(`GET \S+/quarantine/(\d+)/event answers`)
	entryRoute = regexp.MustCompile(`GET \S+/quarantine/(\d+) shows`)
)

// asCommand is a text of the API for who uses commands.
func asCommand(text string) string {
	text = eventRoute.ReplaceAllString(text, "erpconnector quarantine show $1 --payload prints")
	text = entryRoute.ReplaceAllString(text, "`erpconnector quarantine show $1` shows")
	return domain.Printable(asCommands.Replace(text))
}

// problemError is a problem in the lines of an error: what is wrong as a whole, unless each place says it, and then each place.
func problemError(p *client.ProblemError) error {
	detail := asCommand(p.Detail)
	if p.Status == http.StatusForbidden && p.Code == "forbidden" && strings.Contains(detail, "does not hold") {
		detail += ": `erpconnector token create NAME --may …` makes one that does"
	}
	if p.Errors == nil || len(*p.Errors) == 0 {
		return errors.New(detail)
	}
	var all []error
	before := ""
	if !strings.Contains(p.Detail, "errors lists") {
		all, before = append(all, errors.New(detail)), "  "
	}
	for _, e := range *p.Errors {
		place := strings.TrimPrefix(placeOf(e), "/")
		if e.Parameter != nil {
			place = "--" + flagOf(place)
		}
		all = append(all, errors.New(before+domain.Printable(strings.TrimSpace(place+" "+e.Detail))))
	}
	return errors.Join(all...)
}

// byFlags says of the members of a body by which flag or argument they were given.
func byFlags(err error, flags map[string]string) error {
	var p *client.ProblemError
	if !errors.As(err, &p) || p.Errors == nil || len(*p.Errors) == 0 {
		return err
	}
	var all []error
	for _, e := range *p.Errors {
		place := placeOf(e)
		_, member, _ := strings.Cut(place, "/")
		member, _, _ = strings.Cut(member, "/")
		all = append(all, errors.New(domain.Printable(cmp.Or(flags[member], place)+" "+e.Detail)))
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
