package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// rootsCache is root's: its own one is closed to the user that the server runs as.
var rootsCache = "/var/cache/erpconnector/postgres"

// cacheDir is where fetched binaries are kept.
func cacheDir(name string) (string, error) {
	if os.Getuid() == 0 {
		return filepath.Join(rootsCache, name), nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("keeping a fetched Postgres: %w", err)
	}
	return filepath.Join(cache, "erpconnector", "postgres", name), nil
}

// once fills a folder unless it is filled; of several processes one does, and the others wait.
func once(ctx context.Context, dir string, filled func() bool, fill func() error) error {
	if filled() {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // public files, which the server's user reads
		return fmt.Errorf("keeping a fetched Postgres: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return fmt.Errorf("keeping a fetched Postgres: %w", err)
	}
	defer func() { _ = lock.Close() }()
	if filled() {
		return nil
	}
	if err := fill(); err != nil {
		return err
	}
	if !filled() {
		return errors.New("the fetched Postgres does not work on this system")
	}
	return nil
}

// works reports why a server's program does not start here: it may miss a library of the system.
func works(ctx context.Context, bin string, env []string) error {
	cmd := exec.CommandContext(ctx, program(bin, "postgres"), "--version")
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the fetched Postgres does not start here: %w %s", err, oneLine(out))
	}
	return nil
}

func oneLine(out []byte) string { return strings.Join(strings.Fields(string(out)), " ") }
