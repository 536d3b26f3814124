package devpg

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

const portableVersion = embeddedpostgres.V18

// portable is the folder of binaries that a library has for Linux (glibc and musl), macOS and Windows. They come from Maven
// Central or a mirror of it, once. The library compares them with the SHA-256 that stands beside them there.
func portable(ctx context.Context, mirror string) (bin string, err error) {
	dir, err := cacheDir(string(portableVersion))
	if err != nil {
		return "", err
	}
	return portableIn(ctx, dir, mirror)
}

func portableIn(ctx context.Context, dir, mirror string) (bin string, err error) {
	whole := filepath.Join(dir, "whole") // written last: what a stop left behind is not taken
	bin = filepath.Join(dir, "pgsql", "bin")
	err = once(ctx, dir, func() bool {
		_, err := os.Stat(whole)
		return err == nil && complete(bin)
	}, func() error {
		if err := download(ctx, dir, mirror); err != nil {
			return fmt.Errorf("fetching Postgres %s for %s/%s: %w", portableVersion, runtime.GOOS, runtime.GOARCH, err)
		}
		if err := works(ctx, bin, nil); err != nil {
			return err
		}
		return os.WriteFile(whole, nil, 0o600)
	})
	return bin, err
}

// download fills the folder. The library has no call that only fetches: it starts a server, too. So it is given a folder of
// data that holds none, and ends with an error once the binaries are there.
func download(ctx context.Context, dir, mirror string) error {
	work := filepath.Join(dir, "work")
	data := filepath.Join(work, "data")
	if err := os.RemoveAll(filepath.Join(dir, "pgsql")); err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o755); err != nil { //nolint:gosec // it holds nothing
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	major, _, _ := strings.Cut(string(portableVersion), ".")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major), 0o600); err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	config := embeddedpostgres.DefaultConfig().Version(portableVersion).Port(uint32(port)).Logger(io.Discard). //nolint:gosec // a port
															CachePath(work).RuntimePath(filepath.Join(work, "runtime")).DataPath(data).BinariesPath(filepath.Join(dir, "pgsql"))
	if mirror != "" {
		config = config.BinaryRepositoryURL(strings.TrimRight(mirror, "/"))
	}
	ended := make(chan error, 1) // the library knows no context
	go func() { ended <- embeddedpostgres.NewDatabase(config).Start() }()
	select {
	case err := <-ended:
		if complete(filepath.Join(dir, "pgsql", "bin")) {
			return nil
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
