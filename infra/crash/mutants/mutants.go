// Package mutants makes the product with a bug in it, so that the checker can be asked whether it sees it. A bug is a
// small change to the product's source; the product's own files stay as they are, as the compiler is given the changed
// ones in their place (go build -overlay).
package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/erpconnector/erpconnector/infra/crash/clock"
)

// Mutant is one change that breaks a promise.
type Mutant struct {
	Name     string
	Promises []int  // of which the checker must find one broken
	Profile  string // what a run disturbs so that the bug shows; as -crash.profile
	Broker   string // that it shows on, as -crash.broker; empty: any
	Edits    []Edit
}

// Edit replaces a text in a file of the repository. The text must stand there exactly once: a bug that no longer fits
// the product must be seen, not silently left out.
type Edit struct {
	File     string // from the root of the repository
	Old, New string
}

// Build makes the binary with the bug, and with a clock that can be put back, in dir and returns its path. A Bug without edits
// makes the product as it is.
func (b Mutant) Build(ctx context.Context, root, dir string) (string, error) {
	overlay, err := b.Overlay(root, dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "erpconnector")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "./services/erpconnector") //nolint:gosec // our own program
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bug %q does not compile: %w\n%s", b.Name, err, out)
	}
	return binary, nil
}

// Overlay writes the changed files into dir, and the list of them that the compiler takes; it returns the list's path.
func (b Mutant) Overlay(root, dir string) (string, error) {
	root, err := filepath.Abs(root) // the compiler would pass over names that lead elsewhere
	if err != nil {
		return "", err
	}
	replace, err := clock.Overlay(root, dir)
	if err != nil {
		return "", err
	}
	for i, e := range b.Edits {
		changed, err := e.apply(root, replace)
		if err != nil {
			return "", fmt.Errorf("bug %q: %w", b.Name, err)
		}
		to := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(e.File)))
		if err := os.WriteFile(to, []byte(changed), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, e.File)] = to
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}

// apply reads the file, as an earlier edit left it, and makes the change.
func (e Edit) apply(root string, replaced map[string]string) (string, error) {
	path := filepath.Join(root, e.File)
	if to, ok := replaced[path]; ok {
		path = to
	}
	content, err := os.ReadFile(path) //nolint:gosec // a file of this repository
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(content), e.Old); n != 1 {
		return "", fmt.Errorf("%s: the text to be changed stands there %d times, not once; the product has changed, so the bug must:\n%s", e.File, n, e.Old)
	}
	return strings.Replace(string(content), e.Old, e.New, 1), nil
}
