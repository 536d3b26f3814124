package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/netfail"
)

// HealthTimeout is longer than the asked process gives its own probes (3 s), so that its answer comes first.
const HealthTimeout = 4 * time.Second

// healthCommand stands in for curl in images that have none:
//
//	HEALTHCHECK CMD ["/erpconnector", "health"]
func healthCommand() *cobra.Command {
	live := false
	cmd := &cobra.Command{
		Use:     "health [URL]",
		Example: "  erpconnector health\n  erpconnector health --live http://127.0.0.1:8080",
		Short:   "Ask a running process whether it is ready; exit code 0 says yes, 1 no",
		Long: "Ask a running process whether it is ready; exit code 0 says yes, 1 no. It asks http://127.0.0.1 at the port of HTTP_ADDR,\n" +
			"or https where HTTP_TLS_CERT_FILE is set, unless a base URL is given. Images without a shell or curl use it as their health check.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			base, client, err := healthURL(cmd.Context(), args)
			if err != nil {
				return err
			}
			defer client.CloseIdleConnections()
			ctx, cancel := context.WithTimeout(cmd.Context(), HealthTimeout)
			defer cancel()
			said, err := askHealth(ctx, client, base, live)
			if err == nil {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether it lives: /livez in place of /readyz")
	return cmd
}

// healthURL is what the user names, or where a process with this environment serves, and who asks there. That process is on this machine and
// is told nothing, so its certificate may be for any name, and may have been renewed since its files were read.
func healthURL(ctx context.Context, args []string) (string, *http.Client, error) {
	if len(args) > 0 {
		return withScheme(args[0]), http.DefaultClient, nil
	}
	cfg, err := config.FromEnv(environment(ctx))
	itself := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	return baseURL(cfg), &http.Client{Transport: itself}, err
}

// askHealth says what is well, or returns an error that names what is not.
func askHealth(ctx context.Context, client *http.Client, base string, live bool) (string, error) {
	path := "/readyz"
	if live {
		path = "/livez"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return "", fmt.Errorf("asking for health: %w", err)
	}
	resp, err := client.Do(req)
	switch {
	case netfail.Refused(err):
		return "", fmt.Errorf("asking for health: nothing listens at %s; does the process run, with this HTTP_ADDR?", base)
	case errors.Is(err, context.DeadlineExceeded):
		return "", fmt.Errorf("asking for health: %s does not answer within %s", base, HealthTimeout)
	case err != nil:
		return "", fmt.Errorf("asking for health: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Checks  map[string]string `json:"checks"`
		Details map[string]string `json:"details"`
	}
	// A connection that switched protocols is not read: what comes on it is bound by no deadline.
	if resp.StatusCode < http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&answer) != nil {
		return "", fmt.Errorf("asking for health: %s%s answered %s and no JSON; does erpconnector listen there?", base, path, resp.Status)
	}
	if resp.StatusCode == http.StatusOK {
		said := domain.Printable("ok " + strings.Join(slices.Sorted(maps.Keys(answer.Checks)), " "))
		for _, name := range slices.Sorted(maps.Keys(answer.Details)) {
			said += "\n" + domain.Printable(name+": "+answer.Details[name])
		}
		return said, nil
	}
	return "", notReady(resp.Status, answer.Checks)
}

// notReady names what failed, sorted, and nothing that is well: the first line is all that some orchestrators show.
func notReady(status string, checks map[string]string) error {
	failed := []error{fmt.Errorf("not ready (%s)", status)}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if checks[name] != "ok" {
			failed = append(failed, fmt.Errorf("%s: %s", name, checks[name]))
		}
	}
	return errors.Join(failed...)
}
