package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/erpconnector/erpconnector/shared/config"
)

// target is where a connector is, and the token that it gets.
type target struct {
	url   string
	token config.Secret
	from  string // where the token comes from, or why there is none; for errors
	shell string // how a shell gets at the token

	orStores bool // the command works on the stores too
}

// targetHere is the connector at the URL, or the one on this machine, with the token of the environment or else the one that `up` keeps.
func targetHere(ctx context.Context, url string) (target, error) {
	lookup := environment(ctx)
	cfg, err := config.FromEnv(lookup)
	if err != nil {
		return target{}, err
	}
	if url == "" {
		url = baseURL(cfg)
	}
	t := target{url: withScheme(url), token: cfg.HTTP.Token}
	if name, ok := lookup("API_TOKEN_FILE"); ok && name != "" {
		t.from, t.shell = "API_TOKEN_FILE", `$(cat "$API_TOKEN_FILE")`
		return t, nil
	}
	if t.token != "" {
		t.from, t.shell = "API_TOKEN", "$API_TOKEN"
		return t, nil
	}
	return t.withTokenOfUp(cfg.DataDir)
}

// withTokenOfUp reads the token that `up` made. Without one the connector is asked all the same: that nothing listens is the more helpful
// answer.
func (t target) withTokenOfUp(dir string) (target, error) {
	if dir == "" {
		dir = defaultDataDir()
	}
	file := filepath.Join(dir, TokenFile)
	token, err := config.ReadSecret(file, config.SecretToken)
	switch {
	case errors.Is(err, os.ErrNotExist):
		t.from = "API_TOKEN is not set, and there is no " + file
		return t, nil
	case err != nil:
		return t, fmt.Errorf("reading the token of `up`: %w; set API_TOKEN instead", err)
	}
	t.token, t.from, t.shell = token, file, "$(cat "+shellWord(file)+")"
	return t, nil
}

// withScheme is a base URL as a person gives it, localhost:8080 among others, ready for a path.
func withScheme(url string) string {
	url = strings.TrimRight(url, "/")
	if !strings.Contains(url, "://") {
		url = "http://" + url
	}
	return url
}
