package devpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// ErrNoBinaries means that no Postgres server could be found or fetched.
var ErrNoBinaries = errors.New("no Postgres server found: install one (Debian: apt-get install postgresql), " +
	"set DATABASE_URL to a server that runs elsewhere, or set POSTGRES_MIRROR to a mirror of Maven Central that this machine reaches")

// binaries is the folder of initdb and postgres, and what their environment needs. An installed server comes first, then
// the packages of a Debian-like system, then the binaries that a library has for every system.
func binaries(ctx context.Context, mirror string) (bin string, env []string, err error) {
	if dir := installed(); dir != "" {
		return dir, nil, nil
	}
	var noPackages error
	if _, err := exec.LookPath("apt-get"); err == nil {
		if bin, env, noPackages = fetched(ctx); noPackages == nil {
			return bin, env, nil
		}
	}
	if bin, err = portable(ctx, mirror); err == nil {
		return bin, nil, nil
	}
	if ctx.Err() != nil {
		return "", nil, ctx.Err()
	}
	if noPackages != nil {
		err = fmt.Errorf("%w; %w", noPackages, err)
	}
	return "", nil, fmt.Errorf("%w (%w)", ErrNoBinaries, err)
}

// installed is the folder of the newest installed server, or empty.
func installed() string {
	var candidates []string
	if dir := os.Getenv("ERPCONNECTOR_POSTGRES_BIN"); dir != "" {
		candidates = append(candidates, dir)
	}
	var found []string
	for _, pattern := range serverFolders {
		dirs, _ := filepath.Glob(pattern)
		found = append(found, dirs...)
	}
	slices.SortStableFunc(found, func(a, b string) int { return major(b) - major(a) })
	candidates = append(candidates, found...)
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			candidates = append(candidates, filepath.Dir(path))
		}
	}
	for _, dir := range candidates {
		if complete(dir) {
			return dir
		}
	}
	return ""
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(program(dir, name)); err != nil {
			return false
		}
	}
	return true
}

// program is the path of one of Postgres' programs.
func program(bin, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(bin, name)
}

// major is the version in the name of the folder above bin: 17, postgresql@17, pgsql-17.
func major(bin string) int {
	name := filepath.Base(filepath.Dir(bin))
	n, _ := strconv.Atoi(name[strings.LastIndexAny(name, "@-")+1:])
	return n
}

// fetched unpacks the distribution's packages into a cache folder; nothing is installed, and no right is needed.
func fetched(ctx context.Context) (string, []string, error) {
	cache, err := cacheDir("packages")
	if err != nil {
		return "", nil, err
	}
	var bin string
	var env []string
	err = once(ctx, cache, func() bool {
		bin, env = unpacked(cache)
		return bin != "" && works(ctx, bin, env) == nil
	}, func() error { return unpackPackages(ctx, cache) })
	return bin, env, err
}

// unpacked is where the packages' server stands below a folder, and what it needs to find its libraries.
func unpacked(cache string) (bin string, env []string) {
	dirs, _ := filepath.Glob(filepath.Join(cache, "usr/lib/postgresql/*/bin"))
	for _, dir := range dirs {
		if complete(dir) {
			libs, _ := filepath.Glob(filepath.Join(cache, "usr/lib/*-linux-gnu"))
			return dir, []string{"LD_LIBRARY_PATH=" + strings.Join(libs, ":")}
		}
	}
	return "", nil
}

func unpackPackages(ctx context.Context, cache string) error {
	const script = `set -e
mkdir -p "$1"; cd "$1"; chmod 755 .
v=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
if [ -z "$v" ] && [ "$(id -u)" = 0 ]; then
  apt-get update -qq >/dev/null
  v=$(apt-cache depends postgresql | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
fi
apt-get download -qq "postgresql-$v" "postgresql-client-$v" libpq5 libllvm14 libicu72 libxml2 libxslt1.1 2>/dev/null || apt-get download -qq "postgresql-$v" "postgresql-client-$v" libpq5
for p in *.deb; do dpkg -x "$p" .; rm "$p"; done`
	out, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", cache).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fetching the system's packages: %w %s", err, oneLine(out))
	}
	return nil
}
