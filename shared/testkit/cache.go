package testkit

import (
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Cached is a folder of the user's cache that fill has filled once, for all test processes to come; others wait meanwhile.
// What fill leaves behind when it fails is there when it is tried again.
func Cached(name string, fill func(dir string) error) (dir string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir = filepath.Join(cache, "erpconnector", name)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a cache of public files
		return "", err
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	complete := filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return dir, nil
	}
	if err := fill(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(complete, nil, 0o600)
}
