//go:build unix

package devpg

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// archive is what the artifacts hold, with shell scripts for programs: `postgres --version` works, pg_ctl does not.
//
//go:embed testdata/portable.txz
var archive []byte

// broken is that with a postgres that does not start.
//
//go:embed testdata/broken.txz
var broken []byte

// mirror serves an archive as Maven Central does, with the checksum of the right one, and counts what is asked for.
type mirror struct {
	*httptest.Server

	asked atomic.Int64
	paths []string
}

func newMirror(t *testing.T, served, summed []byte) *mirror {
	t.Helper()
	artifact := func(content []byte) []byte {
		var jar bytes.Buffer
		w := zip.NewWriter(&jar)
		f, err := w.Create("postgres.txz")
		require.NoError(t, err)
		_, err = f.Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return jar.Bytes()
	}
	jar, sum := artifact(served), sha256.Sum256(artifact(summed))
	m := &mirror{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		m.paths = append(m.paths, r.URL.Path) // one after the other
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar)
	}))
	t.Cleanup(m.Close)
	t.Setenv("TMPDIR", t.TempDir()) // the library leaves a log there
	return m
}

func TestPortableComesFromTheMirrorOnce(t *testing.T) {
	m, dir := newMirror(t, archive, archive), t.TempDir()
	bin, err := portableIn(t.Context(), dir, m.URL+"/maven2/")
	require.NoError(t, err)
	require.True(t, complete(bin))
	require.True(t, strings.HasPrefix(m.paths[0], "/maven2/io/zonky/test/postgres/embedded-postgres-binaries-"), m.paths[0])
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"lock", "pgsql", "whole"}, names)
	asked := m.asked.Load()
	again, err := portableIn(t.Context(), dir, m.URL+"/maven2/")
	require.NoError(t, err)
	require.Equal(t, bin, again)
	require.Equal(t, asked, m.asked.Load(), "it is fetched once")
}

// What a stop left behind half unpacked is fetched again.
func TestPortableThatIsNotWholeIsFetchedAgain(t *testing.T) {
	m, dir := newMirror(t, archive, archive), t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "pgsql", "bin"), 0o750))
	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "pgsql", "bin", name), nil, 0o600))
	}
	bin, err := portableIn(t.Context(), dir, m.URL)
	require.NoError(t, err)
	require.NoError(t, works(t.Context(), bin, nil))
}

func TestPortableThatIsNotWhatItShouldBe(t *testing.T) {
	m, dir := newMirror(t, archive, broken), t.TempDir()
	_, err := portableIn(t.Context(), dir, m.URL)
	require.ErrorContains(t, err, "fetching Postgres "+string(portableVersion)+" for ")
	require.ErrorContains(t, err, "checksums do not match")
	require.NoFileExists(t, filepath.Join(dir, "whole"))
}

func TestPortableThatDoesNotStartHere(t *testing.T) {
	m, dir := newMirror(t, broken, broken), t.TempDir()
	_, err := portableIn(t.Context(), dir, m.URL)
	require.ErrorContains(t, err, "the fetched Postgres does not start here: exit status 127 no such library")
	require.NoFileExists(t, filepath.Join(dir, "whole"))
}

// The library knows no context, and a mirror may never answer.
func TestFetchingCanBeStopped(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	asked, ctx := make(chan struct{}), t.Context()
	m := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-ctx.Done()
	}))
	t.Cleanup(m.CloseClientConnections)
	fetching, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	dir := t.TempDir()
	go func() {
		_, err := portableIn(fetching, dir, m.URL)
		ended <- err
	}()
	<-asked
	stop()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		require.Fail(t, "it goes on")
	}
}

// Whoever has neither a server nor a way to one is told what to do.
func TestNoPostgresToBeHad(t *testing.T) {
	m := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(m.Close)
	t.Setenv("TMPDIR", t.TempDir())
	programs := t.TempDir()                                                          // no initdb, and an apt-get that is of no use
	require.NoError(t, os.WriteFile(filepath.Join(programs, "apt-get"), nil, 0o755)) //nolint:gosec // it shall run
	t.Setenv("PATH", programs)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("ERPCONNECTOR_POSTGRES_BIN", "")
	folders, cache := serverFolders, rootsCache
	serverFolders, rootsCache = nil, t.TempDir()
	t.Cleanup(func() { serverFolders, rootsCache = folders, cache })
	_, _, err := binaries(t.Context(), m.URL)
	require.ErrorIs(t, err, ErrNoBinaries)
	for _, want := range []string{"install one", "set DATABASE_URL", "set POSTGRES_MIRROR", "fetching the system's packages", "no version found matching"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "\n")
}

func TestTheNewestServerIsTaken(t *testing.T) {
	for bin, want := range map[string]int{
		"/usr/lib/postgresql/17/bin": 17, "/usr/pgsql-16/bin": 16, "/opt/homebrew/opt/postgresql@18/bin": 18, "/usr/bin": 0,
		"/Applications/Postgres.app/Contents/Versions/17/bin": 17,
	} {
		require.Equal(t, want, major(bin), bin)
	}
}
