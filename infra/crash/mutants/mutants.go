// Package mutants builds mutants of the product, as in mutation testing: each has one bug, and the checker must find it. A
// mutant is a small change to the product's source. The product's own files stay as they are, as the compiler reads the
// changed ones in their place (go build -overlay).
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

// Mutant is one change that breaks a promise. The zero value is the product as it is.
type Mutant struct {
	Name     string
	Promises []int  // the checker must find a violation of one of these
	Profile  string // what a run disturbs so that the bug shows, as in -crash.profile
	Kills    int    // how many kills show it; 0: few
	Broker   string // the broker that it shows on, as in -crash.broker; empty: any
	Forgets  bool   // it shows on an ERP that knows no keys and is asked about orders in doubt, as with -crash.forgets
	Edits    []Edit
}

// Edit replaces a text in a file of the repository. The file must contain the text exactly once: a mutant that no longer fits
// the product must fail, not run as the product does.
type Edit struct {
	File     string // from the root of the repository
	Old, New string
}

// Build builds the mutant in dir, with a clock that can be set back, and returns the path of the binary.
func (m Mutant) Build(ctx context.Context, root, dir string) (string, error) {
	overlay, err := m.Overlay(root, dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "erpconnector")
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", binary, "./services/erpconnector") //nolint:gosec // our own program
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mutant %q does not compile: %w\n%s", m.Name, err, out)
	}
	return binary, nil
}

// Overlay writes the changed files into dir, and the list of them that the compiler reads. It returns the list's path.
func (m Mutant) Overlay(root, dir string) (string, error) {
	root, err := filepath.Abs(root) // the compiler ignores relative names
	if err != nil {
		return "", err
	}
	replace, err := clock.Overlay(root, dir)
	if err != nil {
		return "", err
	}
	for i, e := range m.Edits {
		changed, err := e.apply(root, replace)
		if err != nil {
			return "", fmt.Errorf("mutant %q: %w", m.Name, err)
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

// apply returns the file with the change. It begins with what an earlier edit or the other clock made of the file.
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
		return "", fmt.Errorf("%s: the file has the text to be changed %d times, not once; the product has changed, so change the mutant:\n%s", e.File, n, e.Old)
	}
	return strings.Replace(string(content), e.Old, e.New, 1), nil
}
