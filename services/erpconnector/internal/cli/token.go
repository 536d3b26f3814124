package cli

import (
	"context"
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

// resourcePrefix is left out on the command line.
const resourcePrefix = "Escooter_ErpConnector::"

func mayList() string {
	names := make([]string, len(httpapi.Resources))
	for i, r := range httpapi.Resources {
		names[i] = short(r)
	}
	return strings.Join(names, ", ")
}

func short(r httpapi.Resource) string { return strings.TrimPrefix(string(r), resourcePrefix) }

func tokenCreateCommand() *cobra.Command {
	var may []string
	var source string
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token, and print it once", Args: cobra.ExactArgs(1),
		Example: "  erpconnector token create support --may view_status,resync\n" +
			"  erpconnector token create \"outlet's shop\" --may publish --source outlet --expires 8760h",
		RunE: func(cmd *cobra.Command, args []string) error {
			n := access.New{Name: args[0], Source: source, By: osUser()}
			for _, name := range may {
				n.Resources = append(n.Resources, httpapi.Resource(resourcePrefix+strings.TrimPrefix(name, resourcePrefix)))
			}
			if expires < 0 {
				return fmt.Errorf("--expires is %s; it must be a time to come, like 720h", expires)
			}
			if expires > 0 {
				n.ExpiresAt = new(time.Now().Add(expires))
			}
			if wrong := n.Check(time.Now()); len(wrong) > 0 {
				_, member, _ := strings.Cut(wrong[0].Pointer, "/")
				member, _, _ = strings.Cut(member, "/")
				flag := map[string]string{"name": "the name", "resources": "--may", "source": "--source"}[member]
				return fmt.Errorf("%s %s", flag, strings.ReplaceAll(wrong[0].Detail, resourcePrefix, ""))
			}
			return withTokens(cmd.Context(), func(s *access.Store) error {
				t, secret, err := s.Create(cmd.Context(), n)
				if err != nil {
					return err
				}
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), secret)
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "token %d, %q: this is the only time that it is shown\n", t.ID, t.Name)
				return nil
			})
		},
	}
	cmd.Flags().StringSliceVar(&may, "may", nil, "what it may do, with commas between: "+mayList())
	cmd.Flags().StringVar(&source, "source", "", "the one shop that it is for; all unless said")
	cmd.Flags().DurationVar(&expires, "expires", 0, "after which time it is refused, like 720h; never unless said")
	return cmd
}

func tokenListCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens that are in force, the newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	return cmd
}

func printTokens(w io.Writer, tokens []access.Token, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tNAME\tBEGINS\tMAY\tSHOP\tMADE\tLAST USED\tSTATE")
	at := func(of *time.Time, otherwise string) string {
		if of == nil {
			return otherwise
		}
		return of.UTC().Format("2006-01-02 15:04")
	}
	for _, token := range tokens {
		var may []string
		for _, r := range token.Resources {
			may = append(may, short(r))
		}
		state := "in force"
		switch {
		case token.RevokedAt != nil:
			state = "revoked " + at(token.RevokedAt, "") + " by " + domain.Printable(*token.RevokedBy)
		case !token.InForce(now):
			state = "expired " + at(token.ExpiresAt, "")
		case token.ExpiresAt != nil:
			state = "until " + at(token.ExpiresAt, "")
		}
		shop := "all"
		if token.Source != nil {
			shop = *token.Source
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s…\t%s\t%s\t%s by %s\t%s\t%s\n", token.ID, domain.Printable(token.Name), token.Hint, strings.Join(may, ","), shop,
			at(&token.CreatedAt, ""), domain.Printable(token.CreatedBy), at(token.LastUsedAt, "never"), state)
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
