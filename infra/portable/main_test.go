package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each case is a package of one file, and what is found in it.
func TestCheck(t *testing.T) {
	t.Setenv("GOWORK", "off")
	linux, windows := run{"linux", "arm64", ""}, run{"windows", "amd64", ""}
	for name, c := range map[string]struct {
		run  run
		file string
		code string
		want string // empty: nothing
	}{
		"what_only_unix_has":             {windows, "a.go", "import \"syscall\"\nvar F = syscall.Flock\n", "undefined: syscall.Flock"},
		"is_there_on_linux":              {linux, "a.go", "import \"syscall\"\nvar F = syscall.Flock\n", ""},
		"a_file_for_another_system":      {windows, "a_linux.go", "import \"syscall\"\nvar F = syscall.Flock\n", ""},
		"in_a_function":                  {windows, "a.go", "import \"syscall\"\nfunc F() { _ = syscall.Flock }\n", "undefined: syscall.Flock"},
		"in_a_test":                      {windows, "a_test.go", "import \"syscall\"\nvar F = syscall.Flock\n", "undefined: syscall.Flock"},
		"behind_a_build_tag":             {run{"windows", "amd64", "speed"}, "a.go", "import \"syscall\"\nvar F = syscall.Flock\n", "undefined: syscall.Flock"},
		"what_vet_finds":                 {windows, "a.go", "import \"fmt\"\nfunc F() { fmt.Sprint(1) }\n", "result of fmt.Sprint call not used"},
		"a_symbol_newer_than_the_module": {linux, "a.go", "import \"testing\"\nvar F = (*testing.T).Output\n", "requires go1.25"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tag := ""
			if c.run.tags != "" {
				tag = "//go:build " + c.run.tags + "\n\n"
			}
			write(t, dir, "go.mod", "module example\n\ngo 1.24.0\n")
			write(t, dir, "doc.go", "package example\n")
			write(t, dir, c.file, tag+"package example\n\n"+c.code)
			checked, problems, err := c.run.check(dir, []string{"./..."})
			if err != nil {
				t.Fatal(err)
			}
			if checked == 0 {
				t.Error("no package was looked at")
			}
			found := strings.Join(problems, "\n")
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
