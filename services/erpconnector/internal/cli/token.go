package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// tokenCommand works on the database, so it needs no token: it makes the first one.
//
//	$ erpconnector token create "outlet's shop" --may publish --source outlet
//	erpc_4F7KQ2_…
//	token 3, "outlet's shop": this is the only time that it is shown
func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "token", Short: "Make, list and revoke the tokens of the API",
		Long: "Each token has a name, which stands in logs and histories, and holds what it may do: " + mayList() + ".\n" +
			"manage includes sync, resync and view_status. A token that was revoked is refused by every process within two seconds.",
	}
	cmd.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return cmd
}

func mayList() string { return strings.Join(httpapi.ShortNames(), ", ") }

// shortList are resources as the command line takes them.
func shortList(resources []httpapi.Resource) string {
	names := make([]string, len(resources))
	for i, r := range resources {
		names[i] = r.ShortName()
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

// minute is a time for people, or other words when there is none.
func minute(of *time.Time, otherwise string) string {
	if of == nil {
		return otherwise
	}
	return of.UTC().Format("2006-01-02 15:04")
}

// firstToken is the name of the token that --first makes.
const firstToken = "admin"

func tokenCreateCommand() *cobra.Command {
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
				return createFirst(cmd)
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
			return withTokens(cmd.Context(), func(s *access.Store) error {
				t, secret, err := s.Create(cmd.Context(), n)
				if err != nil {
					return err
				}
				return printToken(cmd, t, secret)
			})
		},
	}
	cmd.Flags().StringSliceVar(&may, "may", nil, "what it may do, with commas between: "+mayList())
	cmd.Flags().StringVar(&source, "source", "", "the one shop that it is for; all unless said")
	cmd.Flags().DurationVar(&expires, "expires", 0, "after which time it is refused, like 720h; never unless said")
	cmd.Flags().BoolVar(&first, "first", false, "a token named "+firstToken+" that may do everything, if nobody has made a token or a user yet; else nothing is made")
	for _, other := range []string{"may", "source", "expires"} {
		cmd.MarkFlagsMutuallyExclusive("first", other)
	}
	return cmd
}

// createFirst makes the first token. When there is one already it ends well, so that a script can call it at each start.
func createFirst(cmd *cobra.Command) error {
	return withTokens(cmd.Context(), func(s *access.Store) error {
		t, secret, err := s.CreateFirst(cmd.Context(), access.New{Name: firstToken, Resources: httpapi.Resources, By: osUser()})
		if errors.Is(err, access.ErrNoFirst) {
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%s, so nothing was made\n", access.ErrNoFirst)
			return err
		}
		if err != nil {
			return err
		}
		return printToken(cmd, t, secret)
	})
}

func printToken(cmd *cobra.Command, t access.Token, secret string) error {
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "token %d, %q: this is the only time that it is shown\n", t.ID, t.Name)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), secret)
	return err
}

func tokenListCommand() *cobra.Command {
	var all bool
	var user string
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens that are in force, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if user != "" {
				return withUser(cmd.Context(), user, func(s *access.Store, id int64) error {
					sessions, err := s.Sessions(cmd.Context(), id, all)
					if err != nil {
						return err
					}
					return printTokens(cmd.OutOrStdout(), sessions, time.Now())
				})
			}
			return withTokens(cmd.Context(), func(s *access.Store) error {
				tokens, err := s.List(cmd.Context(), all)
				if err != nil {
					return err
				}
				return printTokens(cmd.OutOrStdout(), tokens, time.Now())
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that are revoked or expired too")
	cmd.Flags().StringVar(&user, "user", "", "in place of them, the sessions of this user")
	return cmd
}

func printTokens(w io.Writer, tokens []access.Token, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tNAME\tBEGINS\tMAY\tSHOP\tMADE\tLAST USED\tSTATE")
	for _, token := range tokens {
		state := "in force"
		switch {
		case token.RevokedAt != nil:
			state = "revoked " + minute(token.RevokedAt, "") + " by " + domain.Printable(*token.RevokedBy)
		case !token.InForce(now):
			state = "expired " + minute(token.ExpiresAt, "")
		case token.ExpiresAt != nil:
			state = "until " + minute(token.ExpiresAt, "")
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s…\t%s\t%s\t%s by %s\t%s\t%s\n", token.ID, domain.Printable(token.Name), token.Hint, shortList(token.Resources), shopOf(token.Source),
			minute(&token.CreatedAt, ""), domain.Printable(token.CreatedBy), minute(token.LastUsedAt, "never"), state)
	}
	return t.Flush()
}

func tokenRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "Take a token out of force, in every process within two seconds", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%q is no token's id: `erpconnector token list` shows them", args[0])
			}
			return withTokens(cmd.Context(), func(s *access.Store) error {
				t, err := s.Revoke(cmd.Context(), id, osUser())
				if err != nil {
					return fmt.Errorf("token %d: %w", id, err)
				}
				_, _ = fmt.Fprintf(cmd.OutOrStdout(), "token %d, %q, is revoked\n", t.ID, domain.Printable(t.Name))
				return nil
			})
		},
	}
}

func withTokens(ctx context.Context, do func(*access.Store) error) error {
	return withDatabase(ctx, func(_ config.Config, pool *pgxpool.Pool) error { return do(access.NewStore(pool)) })
}
