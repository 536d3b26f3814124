package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// userCommand works on the database, so it needs no token.
//
//	$ erpconnector user create jane --may view_status,resync
//	T7QK3…
//	user 1, "jane": this is the only time that the password is shown
func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", Short: "Make and change users, who log in with a password",
		Long: "A user gets a token by POST /rest/V1/integration/admin/token, as in Magento. It ends after admin_token_lifetime, or when the user is\n" +
			"disabled, deleted, or gets another password, in every process within two seconds.",
	}
	cmd.AddCommand(userCreateCommand(), userListCommand(), userPasswordCommand(),
		userSwitchCommand("disable", "Let a user in no more, and end the user's sessions", true),
		userSwitchCommand("enable", "Let a user in again who was disabled", false), userDeleteCommand())
	return cmd
}

// passwordFlag names a file with a password; without it, one is made and printed.
func passwordFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "password-file", "", "a file with the password in its one line; without it, a password is made and printed once")
}

// choosePassword is the password of a file, or a new one of 130 random bits.
func choosePassword(file string) (password string, made bool, err error) {
	if file == "" {
		return rand.Text(), true, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", false, fmt.Errorf("--password-file: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), false, nil
}

// printPassword shows a password that was made; one from a file is known already.
func printPassword(cmd *cobra.Command, u access.User, password string, made bool) error {
	if !made {
		_, err := fmt.Fprintf(cmd.ErrOrStderr(), "user %d, %q\n", u.ID, u.Name)
		return err
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "user %d, %q: this is the only time that the password is shown\n", u.ID, u.Name)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), password)
	return err
}

func userCreateCommand() *cobra.Command {
	var may []string
	var source, file string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a user, and print the password once", Args: cobra.ExactArgs(1),
		Example: "  erpconnector user create jane --may view_status,resync\n" +
			"  erpconnector user create \"outlet's desk\" --may manage --source outlet --password-file /run/secrets/password",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, made, err := choosePassword(file)
			if err != nil {
				return err
			}
			n := access.NewUser{Name: args[0], Password: password, Resources: resourcesOf(may), Source: source, By: osUser()}
			if wrong := n.Check(); len(wrong) > 0 {
				return flagError(wrong[0])
			}
			return withTokens(cmd.Context(), func(s *access.Store) error {
				u, err := s.CreateUser(cmd.Context(), n)
				if err != nil {
					return err
				}
				return printPassword(cmd, u, password, made)
			})
		},
	}
	cmd.Flags().StringSliceVar(&may, "may", nil, "what the user may do, with commas between: "+mayList())
	cmd.Flags().StringVar(&source, "source", "", "the one shop that the user is for; all unless said")
	passwordFlag(cmd, &file)
	return cmd
}

func resourcesOf(may []string) (resources []httpapi.Resource) {
	for _, name := range may {
		resources = append(resources, httpapi.ResourceOf(name))
	}
	return resources
}

// flagError says of a member of a body by which flag or argument it was given.
func flagError(wrong problem.FieldError) error {
	_, member, _ := strings.Cut(wrong.Pointer, "/")
	member, _, _ = strings.Cut(member, "/")
	flag := map[string]string{"name": "the name", "resources": "--may", "source": "--source", "password": "the password"}[member]
	return fmt.Errorf("%s %s", flag, strings.ReplaceAll(wrong.Detail, httpapi.ResourcePrefix, ""))
}

func userListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users, by their names", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withTokens(cmd.Context(), func(s *access.Store) error {
				users, err := s.Users(cmd.Context())
				if err != nil {
					return err
				}
				return printUsers(cmd.OutOrStdout(), users)
			})
		},
	}
}

func printUsers(w io.Writer, users []access.User) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tNAME\tMAY\tSHOP\tMADE\tSTATE")
	for _, u := range users {
		state := "may log in"
		if u.DisabledAt != nil {
			state = "disabled " + minute(u.DisabledAt, "") + " by " + domain.Printable(*u.DisabledBy)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s by %s\t%s\n", u.ID, domain.Printable(u.Name), shortList(u.Resources), shopOf(u.Source),
			minute(&u.CreatedAt, ""), domain.Printable(u.CreatedBy), state)
	}
	return t.Flush()
}

func userPasswordCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "password NAME", Short: "Give a user another password, and end the user's sessions", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, made, err := choosePassword(file)
			if err != nil {
				return err
			}
			c := access.UserChange{Password: &password, By: osUser()}
			if wrong := c.Check(); len(wrong) > 0 {
				return flagError(wrong[0])
			}
			return changeUser(cmd.Context(), args[0], c, func(u access.User) error { return printPassword(cmd, u, password, made) })
		},
	}
	passwordFlag(cmd, &file)
	return cmd
}

func userSwitchCommand(name, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd.Context(), args[0], access.UserChange{Disabled: &disabled, By: osUser()}, func(u access.User) error {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "user %d, %q, is %sd\n", u.ID, u.Name, name)
				return err
			})
		},
	}
}

// changeUser changes the user of a name. Who can reach the database may change anybody.
func changeUser(ctx context.Context, name string, c access.UserChange, done func(access.User) error) error {
	return withUser(ctx, name, func(s *access.Store, id int64) error {
		u, err := s.ChangeUser(ctx, id, c, func(access.User) error { return nil })
		if err != nil {
			return err
		}
		return done(u)
	})
}

func userDeleteCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a user, and end the user's sessions", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withUser(cmd.Context(), args[0], func(s *access.Store, id int64) error {
				u, err := s.DeleteUser(cmd.Context(), id)
				if err == nil {
					_, err = fmt.Fprintf(cmd.OutOrStdout(), "user %d, %q, is deleted\n", u.ID, u.Name)
				}
				return err
			})
		},
	}
}

func withUser(ctx context.Context, name string, do func(s *access.Store, id int64) error) error {
	return withTokens(ctx, func(s *access.Store) error {
		id, err := s.UserID(ctx, name)
		if err != nil {
			return fmt.Errorf("user %q: %w: `erpconnector user list` shows them", name, err)
		}
		return do(s, id)
	})
}
