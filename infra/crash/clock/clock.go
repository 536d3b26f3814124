// Package clock gives processes of the product a wall clock that can be set back while they run, as an administrator or NTP
// does.
//
// The product asks time.Now. Overlay makes the compiler read stepclock.Now in its place (go build -overlay): the product's own files
// stay as they are, and its libraries keep the machine's clock. Only the wall clock moves. The monotonic one goes on, as it does on a
// machine whose time is set.
package clock

import (
	_ "embed" // of the package that the product is given
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Variable is the environment variable with the file that says how far the clock of a process is from the machine's.
const Variable = "ERPCONNECTOR_STEPCLOCK"

const stepclock = "github.com/erpconnector/erpconnector/shared/stepclock"

//go:embed stepclock.go.txt
var source []byte

var timeNow = regexp.MustCompile(`\btime\.Now\b`)

// Overlay writes changed copies of the product's files that use time.Now into dir. It returns which file each replaces. root
// is the repository's.
func Overlay(root, dir string) (replace map[string]string, err error) {
	if root, err = filepath.Abs(root); err != nil {
		return nil, err
	}
	replace = map[string]string{}
	put := func(name string, content []byte) error {
		to := filepath.Join(dir, fmt.Sprintf("clock-%d-%s", len(replace), filepath.Base(name)))
		replace[name] = to
		return os.WriteFile(to, content, 0o600)
	}
	if err := put(filepath.Join(root, "shared", "stepclock", "stepclock.go"), source); err != nil {
		return nil, err
	}
	for _, folder := range []string{"services", "shared"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return err
			}
			content, err := os.ReadFile(name) //nolint:gosec // a file of this repository
			if err != nil || !timeNow.Match(content) {
				return err
			}
			return put(name, rewrite(content))
		})
		if err != nil {
			return nil, err
		}
	}
	return replace, nil
}

var packageClause = regexp.MustCompile(`(?m)^package \w+$`)

// rewrite returns a file that uses the other clock. Its lines keep their numbers.
func rewrite(content []byte) []byte {
	content = timeNow.ReplaceAll(content, []byte("stepclock.Now"))
	content = packageClause.ReplaceAll(content, []byte(`$0; import "`+stepclock+`"`))
	return append(content, "\nvar _ = time.Now\n"...) // time may have no other use left
}

// Create makes the file of a clock that shows the machine's time.
func Create(name string) error { return os.WriteFile(name, make([]byte, 8), 0o600) }

// Set sets the clock of the process that reads the file, at once, to this distance from the machine's.
func Set(name string, step time.Duration) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0) //nolint:gosec // the caller's own
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(step/time.Second))), 0) //nolint:gosec // both ways
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
