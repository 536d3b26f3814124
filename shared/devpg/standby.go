package devpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Standby starts a hot standby that follows s by streaming, in a folder of its own. Its data is copied as pg_basebackup
// does it, which not every distribution of Postgres has beside its server.
func (s *Server) Standby(ctx context.Context, cfg Config) (*Server, error) {
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := copyAsStandby(ctx, s.url, filepath.Join(s.dir, "data"), filepath.Join(dir, "data")); err != nil {
		return nil, fmt.Errorf("making a standby: %w", err)
	}
	return Start(ctx, cfg)
}

func copyAsStandby(ctx context.Context, primary, from, to string) error {
	config, err := pgx.ParseConfig(primary)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SELECT pg_backup_start('standby', fast => true)`); err != nil {
		return err
	}
	if err := copyData(from, to); err != nil {
		return err
	}
	var label string
	if err := conn.QueryRow(ctx, `SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)`).Scan(&label); err != nil {
		return err
	}
	follow := fmt.Sprintf("primary_conninfo = 'host=%s port=%d user=%s'\n", config.Host, config.Port, config.User)
	return errors.Join(
		writeIn(to, "backup_label", label), writeIn(to, "standby.signal", ""), writeIn(to, "postgresql.auto.conf", follow))
}

// skipped is what a server makes for itself: WAL comes from the primary, the rest is of the process.
var skipped = []string{"pg_wal/", "pg_replslot/", "pg_dynshmem/", "pg_stat_tmp/", "pg_notify/", "postmaster.pid", "postmaster.opts"}

// copyData keeps owners and modes. Files that the server drops meanwhile are no loss: their end is in the WAL.
func copyData(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if !entry.IsDir() && isSkipped(name) {
			return nil
		}
		err = copyEntry(path, filepath.Join(to, name), entry)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

func isSkipped(name string) bool {
	for _, s := range skipped {
		if name == s || (strings.HasSuffix(s, "/") && strings.HasPrefix(name, s)) {
			return true
		}
	}
	return false
}

func copyEntry(from, to string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if entry.IsDir() {
		if err := os.MkdirAll(to, info.Mode().Perm()); err != nil {
			return err
		}
	} else {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return chownLike(to, info)
}

func writeIn(data, name, content string) error {
	path := filepath.Join(data, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return err
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	return chownLike(path, info)
}

// Kill ends the server and all its children as kill -9 does.
func (s *Server) Kill() {
	s.killAll()
	<-s.done
	s.freeMemory()
}

// StartAgain starts a server that was killed, at the same port with the data it had. Its children may take a moment to be
// gone for good, and hold the shared memory until then: that is an error.
func (s *Server) StartAgain(ctx context.Context) (*Server, error) {
	cfg := s.cfg
	cfg.Dir = s.dir
	return Start(ctx, cfg)
}
