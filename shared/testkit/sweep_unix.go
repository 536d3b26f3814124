//go:build unix

package testkit

import (
	"context"
	"os/exec"
)

// sweeper waits for the end of its input. A Postgres in the folder ends at the same moment, and gives back its shared memory
// while it does: so its data wait for it. One that was killed cannot, so its memory is given back here (the seventh
// line of postmaster.pid names it).
func sweeper(dir string) *exec.Cmd {
	const script = `cat >/dev/null
find "$1" -name postmaster.pid 2>/dev/null | while read -r file; do
  { read -r pid; read -r _; read -r _; read -r _; read -r _; read -r _; read -r _ memory; } <"$file" 2>/dev/null || continue
  i=0
  while [ -e "$file" ] && kill -0 "$pid" 2>/dev/null && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done
  [ -e "$file" ] && [ -n "$memory" ] && ipcrm -m "$memory" 2>/dev/null
done
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && [ ! -e "$1" ] && exit 0; sleep 1; done`
	return exec.CommandContext(context.Background(), "sh", "-c", script, "sweep", dir)
}
