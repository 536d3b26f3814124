package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// tokenCommand makes the first token on the stores, where nobody has one yet.
//
//	$ erpconnector token create "outlet's shop" --may publish --source outlet
//	erpc_4F7KQ2_…
//	token 3, "outlet's shop": this is the only time that it is shown
func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Example: "  erpconnector token create --first\n  erpconnector token create support --may view_status,resync", Short: "Make, list and revoke the tokens of the API",
		Long: "Each token has a name, which stands in logs and histories, and holds what it may do: " + mayList() + ".\n" +
			"manage includes sync, resync and view_status. A token that was revoked is refused by every process within two seconds.",
	}
	var r remote
	r.operator(cmd)
	cmd.AddCommand(tokenCreateCommand(&r), tokenListCommand(&r), tokenRevokeCommand(&r))
	return cmd
}

func mayList() string { return strings.Join(httpapi.ShortNames(), ", ") }

// shortList are resources as the command line takes them.
func shortList(resources []client.Resource) string {
	names := make([]string, len(resources))
	for i, r := range resources {
		names[i] = httpapi.Resource(r).ShortName()
	}
	return strings.Join(names, ",")
}

// shopOf is the one shop of a token or a user, for people.
func shopOf(source *string) string {
	if source == nil {
		return "all"
	}
	return *source
}

// minute is a time of an answer for people, or other words when there is none.
func minute(of *string, otherwise string) string {
	if of == nil {
		return otherwise
	}
	return shownTime(*of, "2006-01-02 15:04")
}

// shownTime is a time of an answer in another layout, in UTC; what is none stays as it is.
func shownTime(text, layout string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return at.UTC().Format(layout)
}

// firstToken is the name of the token that --first makes.
const firstToken = "admin"

func tokenCreateCommand(r *remote) *cobra.Command {
	var may []string
	var source string
	var expires time.Duration
	var first bool
	cmd := &cobra.Command{
		Use: "create NAME | create --first", Short: "Make a token, and print it once",
		Example: "  erpconnector token create support --may view_status,resync\n" +
			"  erpconnector token create \"outlet's shop\" --may publish --source outlet --expires 8760h\n" +
			"  erpconnector token create --first",
		Args: func(cmd *cobra.Command, args []string) error {
			if first {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if first {
				return createFirst(cmd, r)
			}
			n := access.New{Name: args[0], Resources: resourcesOf(may), Source: source, By: osUser()}
			if expires < 0 {
				return fmt.Errorf("--expires is %s; it must be a time to come, like 720h", expires)
			}
			if expires > 0 {
				n.ExpiresAt = new(time.Now().Add(expires))
			}
			if wrong := n.Check(time.Now()); len(wrong) > 0 {
				return flagError(wrong[0])
			}
			return createToken(cmd, r, n)
		},
	}
	cmd.Flags().StringSliceVar(&may, "may", nil, "what it may do, with commas between: "+mayList())
	completeWords(cmd, "may", true, httpapi.ShortNames()...)
	cmd.Flags().StringVar(&source, "source", "", "the one shop that it is for; all unless said")
	cmd.Flags().DurationVar(&expires, "expires", 0, "after which time it is refused, like 720h; never unless said")
	cmd.Flags().BoolVar(&first, "first", false, "a token named "+firstToken+" that may do everything, if nobody has made a token or a user yet; else nothing is made")
	for _, other := range []string{"may", "source", "expires"} {
		cmd.MarkFlagsMutuallyExclusive("first", other)
	}
	return cmd
}

func createToken(cmd *cobra.Command, r *remote, n access.New) error {
	body := client.NewToken{Name: n.Name, Resources: resourceNames(n.Resources), ExpiresAt: n.ExpiresAt}
	optional(&body.Source, n.Source)
	return r.ask(cmd.Context(), func(c connector) error {
		var t client.ShownToken
		err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.CreateToken(ctx, body, edit)
		}, &t)
		if err != nil {
			return err
		}
		return printToken(cmd, t.TokenId, t.Name, textOf(t.Token))
	})
}

// createFirst makes the first token, on the stores: over HTTP nobody could be let in for it. When there is one already it ends well, so
// that a script can call it at each start.
func createFirst(cmd *cobra.Command, r *remote) error {
	if r.url != "" || r.context != "" {
		return errors.New("--first goes with DATABASE_URL, and not with --url or --context: over HTTP it would need a token")
	}
	return withTokens(cmd.Context(), func(s *access.Store) error {
		t, secret, err := s.CreateFirst(cmd.Context(), access.New{Name: firstToken, Resources: httpapi.Resources, By: osUser()})
		if errors.Is(err, access.ErrNoFirst) {
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s, so nothing was made\n", access.ErrNoFirst)
			return err
		}
		if err != nil {
			return err
		}
		return printToken(cmd, t.ID, t.Name, secret)
	})
}

func printToken(cmd *cobra.Command, id int64, name, secret string) error {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "token %d, %q: this is the only time that it is shown\n", id, name)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}

var tokenListing = listing[client.ShownToken]{
	member: "tokens", none: "there is no such token: `erpconnector token create NAME --may …` makes one", columns: []column[client.ShownToken]{
		{"id", func(t client.ShownToken) string { return strconv.FormatInt(t.TokenId, 10) }},
		{"name", func(t client.ShownToken) string { return t.Name }},
		{"begins", func(t client.ShownToken) string { return t.Hint + "…" }},
		{"may", func(t client.ShownToken) string { return shortList(t.Resources) }},
		{"source", func(t client.ShownToken) string { return shopOf(t.Source) }},
		{"made", func(t client.ShownToken) string { return minute(&t.CreatedAt, "") + " by " + t.CreatedBy }},
		{"last_used", func(t client.ShownToken) string { return minute(t.LastUsedAt, "never") }},
		{"state", func(t client.ShownToken) string { return tokenState(t, time.Now()) }},
	},
	members: []string{
		"token_id", "user_id", "name", "hint", "resources", "source", "created_at", "created_by", "expires_at", "last_used_at", "revoked_at", "revoked_by",
	},
}

// tokenState is whether a token is in force, and until when.
func tokenState(t client.ShownToken, now time.Time) string {
	if t.RevokedAt != nil {
		return "revoked " + minute(t.RevokedAt, "") + " by " + textOf(t.RevokedBy)
	}
	if t.ExpiresAt == nil {
		return "in force"
	}
	if end, err := time.Parse(time.RFC3339, *t.ExpiresAt); err == nil && !now.Before(end) {
		return "expired " + minute(t.ExpiresAt, "")
	}
	return "until " + minute(t.ExpiresAt, "")
}

func tokenListCommand(r *remote) *cobra.Command {
	var all bool
	var user, output string
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens that are in force, the newest first", Args: cobra.NoArgs,
		Example: "  erpconnector token list --all\n  erpconnector token list --user jane\n  erpconnector token list -o json | jq -r '.[].name'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			query := url.Values{"all": {strconv.FormatBool(all)}}
			return r.ask(cmd.Context(), func(c connector) error {
				if user != "" {
					u, err := c.user(cmd.Context(), user)
					if err != nil {
						return err
					}
					query.Set("user", strconv.FormatInt(u.UserId, 10))
				}
				return tokenListing.print(cmd, c, output, query, 0, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.ListTokens(ctx, nil, edit)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that are revoked or expired too")
	cmd.Flags().StringVar(&user, "user", "", "in place of them, the sessions of this user")
	outputFlag(cmd, &output)
	return cmd
}

func tokenRevokeCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Take a token out of force, in every process within two seconds", Args: cobra.ExactArgs(1),
		Example: "  erpconnector token revoke 3",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 0 {
				return fmt.Errorf("%q is no token's id: `erpconnector token list` shows them", args[0])
			}
			return r.ask(cmd.Context(), func(c connector) error {
				var t client.ShownToken
				err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.RevokeToken(ctx, id, edit)
				}, &t)
				if err != nil {
					return fmt.Errorf("token %d: %w", id, err)
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "token %d, %q, is revoked\n", t.TokenId, domain.Printable(t.Name))
				return err
			})
		},
	}
}

// withTokens is for what must not need a token.
func withTokens(ctx context.Context, do func(*access.Store) error) error {
	return withDatabase(ctx, func(_ config.Config, pool *pgxpool.Pool) error { return do(access.NewStore(pool)) })
}
