//go:build !linux

package e2e

import (
	"os/exec"
	"path/filepath"
)

// command runs the image's entry point, without the image around it: only Linux has what that takes.
func (i image) command(args ...string) *exec.Cmd {
	return &exec.Cmd{Path: filepath.Join(i.root, i.entrypoint), Args: append([]string{i.entrypoint}, args...), Env: []string{}}
}
