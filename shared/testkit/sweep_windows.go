package testkit

import (
	"context"
	"os"
	"os/exec"
)

// sweeper waits for the end of its input.
func sweeper(dir string) *exec.Cmd {
	const script = `[Console]::In.ReadToEnd() | Out-Null
foreach ($i in 1..10) {
  Remove-Item -LiteralPath $env:SWEEP -Recurse -Force -ErrorAction SilentlyContinue
  if (-not (Test-Path -LiteralPath $env:SWEEP)) { exit }
  Start-Sleep 1
}`
	cmd := exec.CommandContext(context.Background(), "powershell", "-NoProfile", "-NonInteractive", "-Command", script)
	cmd.Env = append(os.Environ(), "SWEEP="+dir)
	return cmd
}
