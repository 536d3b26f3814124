package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

func deployPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(repository + "/docs/deploy.md")
	require.NoError(t, err)
	return string(text)
}

// commandLines are the lines of the page's sh blocks that begin with a program, without their comments.
func commandLines(t *testing.T, page, program string) (lines [][]string) {
	t.Helper()
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for line := range strings.Lines(block[1]) {
			line, _, _ = strings.Cut(line, " #")
			if args, ok := strings.CutPrefix(line, program+" "); ok {
				lines = append(lines, strings.Fields(args))
			}
		}
	}
	require.NotEmpty(t, lines)
	return lines
}

func TestDeployPageNamesWhatExists(t *testing.T) {
	page, project := deployPage(t), composeProject(t, nil)

	t.Run("our_commands", func(t *testing.T) {
		for _, args := range commandLines(t, page, "erpconnector") {
			require.NoError(t, parses(args), "%v", args)
		}
	})
	t.Run("services_of_compose", func(t *testing.T) {
		for _, args := range commandLines(t, page, "docker compose") {
			for _, arg := range args[1:] { // after the subcommand
				if !strings.HasPrefix(arg, "-") {
					require.Contains(t, project.Services, arg, "%v", args)
				}
			}
		}
	})
	t.Run("metrics", func(t *testing.T) {
		files, err := filepath.Glob(repository + "/services/*/metrics.go")
		require.NoError(t, err)
		inside, err := filepath.Glob(repository + "/services/*/internal/*/metrics.go")
		require.NoError(t, err)
		shared, err := filepath.Glob(repository + "/shared/*/metrics.go")
		require.NoError(t, err)
		files = slices.Concat(files, inside, shared)
		code := ""
		for _, file := range files {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			code += string(content)
		}
		named := regexp.MustCompile("`(erpconnector_[a-z_]+)`").FindAllStringSubmatch(page, -1)
		require.NotEmpty(t, named)
		for _, metric := range named {
			require.Contains(t, code, `"`+metric[1]+`"`)
		}
	})
	t.Run("settings_of_the_broker_as_compose_has_them", func(t *testing.T) {
		same := 0
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z.]+)` \\| ([0-9a-z]+) \\|").FindAllStringSubmatch(page, -1) {
			name := "KAFKA_" + strings.ToUpper(strings.ReplaceAll(row[1], ".", "_"))
			require.Equal(t, row[2], value(project.Services["kafka"], name), row[1])
			same++
		}
		require.GreaterOrEqual(t, same, 5)
	})
	t.Run("ports", func(t *testing.T) {
		for name, s := range project.Services {
			for _, port := range s.Ports {
				require.Contains(t, page, fmt.Sprintf("\n| %s | `%s`", port.Published, name))
			}
		}
	})
	t.Run("connections", func(t *testing.T) {
		require.Contains(t, page, fmt.Sprintf("`max_connections` ≥ %d × processes", connectionsOf))
		require.Contains(t, page, fmt.Sprintf(": %d, set to %d.", connections(project)+3, maxConnections(project.Services["postgres"])))
	})
}

// The event that the page has people post reaches the ERP.
func TestDeployPagesEventIsAccepted(t *testing.T) {
	body := regexp.MustCompile(`(?s)-d '(\{.*?\})'`).FindStringSubmatch(deployPage(t))
	require.NotNil(t, body)
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		p := start(t, configured(t, brokers))
		status, answer := p.publish(body[1])
		require.Equal(t, http.StatusAccepted, status, "%v", answer)
		p.becomes("000000123", ended("success"))
	})
}
