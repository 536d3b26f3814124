package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/testkit"
)

const modulePage = repository + "/docs/from-the-module.md"

// step is one command of the page with the answer that the page prints.
type step struct{ command, status, answer string }

// answered is a shell block and the answer printed after it.
var answered = regexp.MustCompile("(?s)```sh\n([^`]*?)```\n\nAnswer \\((\\d+)\\):\n\n```json\n(.*?)```")

func moduleSteps(t *testing.T, page string) (steps []step) {
	t.Helper()
	for _, m := range answered.FindAllStringSubmatch(page, -1) {
		steps = append(steps, step{command: m[1], status: m[2], answer: m[3]})
	}
	require.Len(t, steps, len(regexp.MustCompile(`(?m)^\s*curl `).FindAllString(page, -1)), "each curl line of the page stands in a block that an answer follows")
	return steps
}

// walker runs the page's commands with the shell and the real curl, against the product.
type walker struct {
	t    *testing.T
	p    *product
	home string // where curl finds its .curlrc
}

func newWalker(t *testing.T, p *product) *walker {
	t.Helper()
	for _, program := range []string{"bash", "curl", "openssl", "base64"} {
		if _, err := exec.LookPath(program); err != nil {
			testkit.NotRun(t, "walk through docs/from-the-module.md", "no "+program+" on this machine")
		}
	}
	home := t.TempDir() // so that curl tells the status, and the command stays as the page has it
	require.NoError(t, os.WriteFile(filepath.Join(home, ".curlrc"), []byte("silent\nshow-error\nmax-time = 60\nwrite-out = \"\\n%{http_code}\"\n"), 0o600))
	return &walker{t: t, p: p, home: home}
}

// run puts the host and the token in, and gives the status and the answer.
func (w *walker) run(command string) (status, answer string) {
	w.t.Helper()
	command = strings.NewReplacer("https://connector.example", w.p.base, "YOUR_ADMIN_TOKEN", w.p.cfg.HTTP.Token.Reveal()).Replace(command)
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", command)
	cmd.Env = append(os.Environ(), "CURL_HOME="+w.home, "ERP_HMAC_SECRET="+w.p.cfg.ERP.HMAC.Reveal())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(w.t, err, "%s\n%s", command, stderr.String())
	at := bytes.LastIndexByte(out, '\n')
	require.Positive(w.t, at, "%s", out)
	return string(out[at+1:]), string(out[:at])
}

// varying is what differs from walk to walk, and what stands for it.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"`), `"TIME"`},
	{regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"`), `"TIME"`},
	{regexp.MustCompile(`"erpc_[^"]*"`), `"TOKEN"`},
	{regexp.MustCompile(`"sync_id": [1-9]\d*`), `"sync_id": N`},
	{regexp.MustCompile(`"ERP-\d+"`), `"ERP-N"`},
}

// longText is a text of an answer that the page prints the start of.
var longText = regexp.MustCompile(`"((?:[^"\\]|\\.){100})(?:[^"\\]|\\.)+"`)

// printed is an answer as the page has it: its fields in their order, each in a line that is not too long.
func printed(t *testing.T, answer string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, []byte(strings.TrimSpace(answer)), "", "  "), "%s", answer)
	return longText.ReplaceAllString(b.String(), `"$1…"`)
}

// comparable is what the page prints of an answer, without what varies.
func comparable(t *testing.T, answer string) string {
	t.Helper()
	text := printed(t, answer)
	for _, v := range varying {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	return text
}

// The page's commands are run in its order, with only host, token and secret put in, and answer what it prints. With
// -update the answers are printed anew: read what changed in them.
func TestTheWalkThroughTheModulesEndpoints(t *testing.T) {
	testkit.OnEmbedded(t, func(t *testing.T, brokers kafka.Config) {
		text, err := os.ReadFile(modulePage)
		require.NoError(t, err)
		page := string(text)
		cfg := configured(t, brokers)
		cfg.Settings.MaxAttempts = setting.Defaults().MaxAttempts
		w := newWalker(t, start(t, cfg))
		for _, s := range moduleSteps(t, page) {
			status, answer := w.run(s.command)
			if *update && (status != s.status || comparable(t, answer) != comparable(t, s.answer)) {
				page = strings.Replace(page, s.command+"```\n\nAnswer ("+s.status+"):\n\n```json\n"+s.answer+"```",
					s.command+"```\n\nAnswer ("+status+"):\n\n```json\n"+printed(t, answer)+"\n```", 1)
				continue
			}
			require.Equal(t, s.status, status, "%s\n%s", s.command, answer)
			require.Equal(t, comparable(t, s.answer), comparable(t, answer), s.command)
		}
		if *update {
			require.NoError(t, os.WriteFile(modulePage, []byte(page), 0o600))
		}
	})
}
