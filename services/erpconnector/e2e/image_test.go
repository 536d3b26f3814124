package e2e

import (
	"debug/buildinfo"
	"debug/elf"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/erpconnector/internal/cli"
	"github.com/erpconnector/erpconnector/shared/config"
)

const dockerfilePath = repository + "/infra/Dockerfile"

// instruction is one of a Dockerfile, its lines joined.
type instruction struct{ name, args string }

// dockerfile is the build stage and the final stage, each from its FROM on.
func dockerfile(t *testing.T) (build, final []instruction) {
	t.Helper()
	text, err := os.ReadFile(dockerfilePath)
	require.NoError(t, err)
	joined := strings.ReplaceAll(regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(text), ""), "\\\n", " ")
	var stages [][]instruction
	for line := range strings.Lines(joined) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "FROM" {
			stages = append(stages, nil)
		}
		if name != "" {
			last := len(stages) - 1
			stages[last] = append(stages[last], instruction{name, strings.TrimSpace(args)})
		}
	}
	require.Len(t, stages, 2)
	return stages[0], stages[1]
}

// argsOf are the arguments of every instruction of the name.
func argsOf(stage []instruction, name string) (out []string) {
	for _, i := range stage {
		if i.name == name {
			out = append(out, i.args)
		}
	}
	return out
}

// image is what infra/Dockerfile's final stage holds, in a folder.
type image struct {
	root       string
	user       uint32
	entrypoint string
	bare       bool // run as it is, without the image's confinement
}

// buildImage runs the Dockerfile's build command on the files it copies.
func buildImage(t *testing.T) image {
	t.Helper()
	build, final := dockerfile(t)
	context := t.TempDir()
	for _, args := range argsOf(build, "COPY") {
		copyContext(t, context, strings.Fields(args))
	}
	run := regexp.MustCompile(`--mount=\S+`).ReplaceAllString(argsOf(build, "RUN")[0], "")
	require.Contains(t, run, " -o /out/erpconnector ")
	binary := filepath.Join(t.TempDir(), "erpconnector")
	run = strings.Replace(run, "/out/erpconnector", binary, 1)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", run)
	cmd.Dir, cmd.Env = context, append(os.Environ(), argsOf(build, "ENV")...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return assemble(t, final, binary)
}

// copyContext is COPY from the build context, without what .dockerignore leaves out.
func copyContext(t *testing.T, to string, args []string) {
	t.Helper()
	ignore, err := os.Open(repository + "/.dockerignore")
	require.NoError(t, err)
	defer func() { _ = ignore.Close() }()
	patterns, err := ignorefile.ReadAll(ignore)
	require.NoError(t, err)
	ignored, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	sources := args[:len(args)-1]
	for _, source := range sources {
		copied := 0
		require.NoError(t, filepath.WalkDir(filepath.Join(repository, source), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			path, err := filepath.Rel(repository, file)
			require.NoError(t, err)
			skip, err := ignored.MatchesOrParentMatches(path)
			if err != nil || skip {
				return err
			}
			copied++
			return copyFile(filepath.Join(to, path), file, 0o600)
		}))
		require.Positive(t, copied, "COPY %s copies nothing", source)
	}
}

func copyFile(to, from string, mode fs.FileMode) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, mode)
}

// assemble lays out the final stage's files.
func assemble(t *testing.T, final []instruction, binary string) image {
	t.Helper()
	img := image{root: t.TempDir(), entrypoint: strings.Trim(argsOf(final, "ENTRYPOINT")[0], `[]"`)}
	for _, args := range argsOf(final, "COPY") {
		from, to, _ := strings.Cut(strings.TrimPrefix(args, "--from=build "), " ")
		switch from {
		case "/out/erpconnector":
			require.NoError(t, copyFile(filepath.Join(img.root, to), binary, 0o755))
		default: // of the build stage's base image, which this machine may not resemble
			if err := copyFile(filepath.Join(img.root, to), from, 0o644); err != nil {
				t.Logf("not in this machine's image folder: %s", err)
			}
		}
	}
	uid, _, _ := strings.Cut(argsOf(final, "USER")[0], ":")
	user, err := strconv.ParseUint(uid, 10, 32)
	require.NoError(t, err, "USER must be a number, as nobody can look up a name in an image without /etc/passwd")
	img.user = uint32(user)
	return img
}

func TestImage(t *testing.T) {
	build, final := dockerfile(t)
	img := buildImage(t)
	binary := filepath.Join(img.root, img.entrypoint)

	t.Run("the_program_is_static", func(t *testing.T) {
		f, err := elf.Open(binary)
		require.NoError(t, err)
		defer func() { _ = f.Close() }()
		for _, p := range f.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type, "it needs a dynamic loader")
		}
		libraries, err := f.ImportedLibraries()
		require.NoError(t, err)
		require.Empty(t, libraries)
	})
	t.Run("it_is_built_without_c_and_without_paths", func(t *testing.T) {
		info, err := buildinfo.ReadFile(binary)
		require.NoError(t, err)
		got := map[string]string{}
		for _, s := range info.Settings {
			got[s.Key] = s.Value
		}
		require.Equal(t, "0", got["CGO_ENABLED"])
		require.Equal(t, "true", got["-trimpath"])
	})
	t.Run("it_starts_with_the_images_files_alone", func(t *testing.T) {
		out, err := img.command("--help").CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "health")
	})
	t.Run("it_is_built_by_a_go_that_the_repository_asks_for", func(t *testing.T) {
		work, err := os.ReadFile(repository + "/go.work")
		require.NoError(t, err)
		asked := "go" + regexp.MustCompile(`(?m)^go (\S+)$`).FindStringSubmatch(string(work))[1]
		base := "go" + regexp.MustCompile(`^golang:(\S+) AS build$`).FindStringSubmatch(argsOf(build, "FROM")[0])[1]
		require.Equal(t, version.Lang(asked), version.Lang(base))
		require.LessOrEqual(t, version.Compare(asked, base), 0, "%s is older than %s", base, asked)
	})
	t.Run("nobody_is_root_and_there_is_nothing_else", func(t *testing.T) {
		require.Equal(t, []string{"scratch"}, argsOf(final, "FROM"))
		require.NotZero(t, img.user)
		require.Empty(t, argsOf(final, "RUN"))
	})
	t.Run("the_port_is_the_programs", func(t *testing.T) {
		cfg, err := config.FromEnv(func(string) (string, bool) { return "", false })
		require.NoError(t, err)
		require.Equal(t, ":"+argsOf(final, "EXPOSE")[0], cfg.HTTP.Addr)
	})
	t.Run("its_default_command_is_one", func(t *testing.T) {
		require.NoError(t, parses(strings.Split(strings.Trim(argsOf(final, "CMD")[0], `[]"`), `", "`)))
	})
}

// parses checks a command line against the program's own commands, without running it.
func parses(args []string) error {
	cmd, rest, err := cli.Root().Find(args)
	if err != nil {
		return err
	}
	if cmd.RunE == nil {
		return fmt.Errorf("%q is no command that does something", strings.Join(args, " "))
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}
