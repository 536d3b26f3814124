package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// userCommand makes and changes users.
//
//	$ erpconnector user create jane --may view_status,resync
//	T7QK3…
//	user 1, "jane": this is the only time that the password is shown
func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "user", Example: "  erpconnector user create jane --may view_status,resync\n  erpconnector user disable jane", Short: "Make and change users, who log in with a password",
		Long: "A user gets a token by POST /rest/V1/integration/admin/token, as in Magento. It ends after admin_token_lifetime, or when the user is\n" +
			"disabled, deleted, or gets another password, in every process within two seconds.",
	}
	var r remote
	r.operator(cmd)
	cmd.AddCommand(userCreateCommand(&r), userListCommand(&r), userPasswordCommand(&r),
		userSwitchCommand(&r, "disable", "Let a user in no more, and end the user's sessions", true),
		userSwitchCommand(&r, "enable", "Let a user in again who was disabled", false), userDeleteCommand(&r))
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
func printPassword(cmd *cobra.Command, u client.ShownUser, password string, made bool) error {
	if !made {
		_, err := fmt.Fprintf(cmd.ErrOrStderr(), "user %d, %q\n", u.UserId, u.Name)
		return err
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "user %d, %q: this is the only time that the password is shown\n", u.UserId, u.Name)
	_, err := fmt.Fprintln(cmd.OutOrStdout(), password)
	return err
}

func userCreateCommand(r *remote) *cobra.Command {
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
			body := client.NewUser{Name: n.Name, Password: n.Password, Resources: resourceNames(n.Resources)}
			optional(&body.Source, n.Source)
			return r.ask(cmd.Context(), func(c connector) error {
				var u client.ShownUser
				err := c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.CreateUser(ctx, body, edit)
				}, &u)
				if err != nil {
					return err
				}
				return printPassword(cmd, u, password, made)
			})
		},
	}
	cmd.Flags().StringSliceVar(&may, "may", nil, "what the user may do, with commas between: "+mayList())
	cmd.Flags().StringVar(&source, "source", "", "the one shop that the user is for; all unless said")
	completeWords(cmd, "may", true, httpapi.ShortNames()...)
	passwordFlag(cmd, &file)
	return cmd
}

// resourceNames are resources as a body has them.
func resourceNames(resources []httpapi.Resource) []client.Resource {
	names := make([]client.Resource, len(resources))
	for i, r := range resources {
		names[i] = client.Resource(r)
	}
	return names
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

var userListing = listing[client.ShownUser]{
	member: "users", none: "there are no users: `erpconnector user create NAME --may …` makes one", columns: []column[client.ShownUser]{
		{"id", func(u client.ShownUser) string { return strconv.FormatInt(u.UserId, 10) }},
		{"name", func(u client.ShownUser) string { return u.Name }},
		{"may", func(u client.ShownUser) string { return shortList(u.Resources) }},
		{"source", func(u client.ShownUser) string { return shopOf(u.Source) }},
		{"made", func(u client.ShownUser) string { return minute(&u.CreatedAt, "") + " by " + u.CreatedBy }},
		{"state", func(u client.ShownUser) string {
			if u.DisabledAt == nil {
				return "may log in"
			}
			return "disabled " + minute(u.DisabledAt, "") + " by " + textOf(u.DisabledBy)
		}},
	},
	members: []string{"user_id", "name", "resources", "source", "created_at", "created_by", "changed_at", "changed_by", "disabled_at", "disabled_by"},
}

func (c connector) listUsers(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
	return c.ListUsers(ctx, edit)
}

func userListCommand(r *remote) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list", Short: "List the users, by their names", Args: cobra.NoArgs,
		Example: "  erpconnector user list\n  erpconnector user list -o csv > users.csv",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return r.ask(cmd.Context(), func(c connector) error { return userListing.print(cmd, c, output, nil, 0, c.listUsers) })
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func userPasswordCommand(r *remote) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "password NAME", Short: "Give a user another password, and end the user's sessions", Args: cobra.ExactArgs(1),
		Example: "  erpconnector user password jane\n  erpconnector user password jane --password-file /run/secrets/password",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, made, err := choosePassword(file)
			if err != nil {
				return err
			}
			c := access.UserChange{Password: &password, By: osUser()}
			if wrong := c.Check(); len(wrong) > 0 {
				return flagError(wrong[0])
			}
			return changeUser(cmd.Context(), r, args[0], client.UserChange{Password: &password}, func(u client.ShownUser) error {
				return printPassword(cmd, u, password, made)
			})
		},
	}
	passwordFlag(cmd, &file)
	return cmd
}

func userSwitchCommand(r *remote, name, short string, disabled bool) *cobra.Command {
	return &cobra.Command{
		Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1), Example: "  erpconnector user " + name + " jane",
		RunE: func(cmd *cobra.Command, args []string) error {
			return changeUser(cmd.Context(), r, args[0], client.UserChange{Disabled: &disabled}, func(u client.ShownUser) error {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "user %d, %q, is %sd\n", u.UserId, u.Name, name)
				return err
			})
		},
	}
}

// changeUser changes the user of a name.
func changeUser(ctx context.Context, r *remote, name string, change client.UserChange, done func(client.ShownUser) error) error {
	return r.ask(ctx, func(c connector) error {
		u, err := c.user(ctx, name)
		if err != nil {
			return err
		}
		err = c.change(ctx, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
			return c.ChangeUser(ctx, u.UserId, change, edit)
		}, &u)
		if err != nil {
			return err
		}
		return done(u)
	})
}

func userDeleteCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a user, and end the user's sessions", Args: cobra.ExactArgs(1), Example: "  erpconnector user delete jane",
		RunE: func(cmd *cobra.Command, args []string) error {
			return r.ask(cmd.Context(), func(c connector) error {
				u, err := c.user(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				err = c.change(cmd.Context(), func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.DeleteUser(ctx, u.UserId, edit)
				}, nil)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "user %d, %q, is deleted\n", u.UserId, u.Name)
				return err
			})
		},
	}
}

// user is the one of a name, in small or capital letters.
func (c connector) user(ctx context.Context, name string) (found client.ShownUser, err error) {
	_, err = userListing.pages(ctx, c, nil, 0, c.listUsers, func(u client.ShownUser, _ json.RawMessage) error {
		if strings.EqualFold(u.Name, strings.TrimSpace(name)) {
			found = u
		}
		return nil
	})
	if err == nil && found.UserId == 0 {
		err = fmt.Errorf("user %q: %w: `erpconnector user list` shows them", name, access.ErrNoUser)
	}
	return found, err
}
