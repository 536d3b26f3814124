package mutants_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/infra/crash/mutants"
	"github.com/erpconnector/erpconnector/infra/crash/nemesis"
)

const root = "../../.."

// overlay returns the files of an overlay by the name that they replace, from the root of the repository.
func overlay(t *testing.T, m mutants.Mutant, root string) map[string]string {
	t.Helper()
	list, err := m.Overlay(root, t.TempDir())
	require.NoError(t, err)
	content, err := os.ReadFile(list) //nolint:gosec // just written
	require.NoError(t, err)
	var o struct{ Replace map[string]string }
	require.NoError(t, json.Unmarshal(content, &o))
	root, err = filepath.Abs(root)
	require.NoError(t, err)
	files := map[string]string{}
	for name, to := range o.Replace {
		name, err = filepath.Rel(root, name)
		require.NoError(t, err)
		files[name] = to
	}
	return files
}

func contentOf(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file) //nolint:gosec // of this repository, or just written
	require.NoError(t, err)
	return string(content)
}

// Each mutant still fits the product, and the compiler is given its text. That it compiles and that the checker sees it is
// TestMutants. A mutant that changes nothing would be taken for one that the checker misses, or would hide that it does.
func TestEachMutantChangesTheProduct(t *testing.T) {
	t.Parallel()
	product := overlay(t, mutants.Mutant{}, root)
	names := map[string]bool{}
	for _, m := range mutants.All {
		t.Run(m.Name, func(t *testing.T) {
			require.False(t, names[m.Name], "two mutants have one name")
			names[m.Name] = true
			require.NotEmpty(t, m.Edits)
			files := overlay(t, m, root)
			for _, e := range m.Edits {
				require.False(t, strings.HasSuffix(e.File, "_test.go"), e.File)
				require.NotEqual(t, e.Old, e.New)
				original := filepath.Join(root, e.File)
				if to, ok := product[e.File]; ok {
					original = to
				}
				changed := contentOf(t, files[e.File])
				require.NotEqual(t, contentOf(t, original), changed)
				require.Contains(t, changed, strings.TrimSpace(e.New))
			}
		})
	}
}

// A mutant is of use when a run can show it: it names a promise and a profile that the harness knows.
func TestEachMutantSaysWhatItBreaks(t *testing.T) {
	t.Parallel()
	for _, m := range mutants.All {
		require.NotEmpty(t, m.Promises, m.Name)
		for _, promise := range m.Promises {
			require.True(t, promise >= 1 && promise <= 13, "%s: promise %d", m.Name, promise)
		}
		profile, err := nemesis.ParseProfile(m.Profile)
		require.NoError(t, err, m.Name)
		require.NotEmpty(t, profile.Weights, m.Name)
		require.Contains(t, []string{"", "cluster", "apache", "embedded"}, m.Broker, m.Name)
	}
}

// repository makes a small one, with a file that a mutant can change.
func repository(t *testing.T, content string) string {
	t.Helper()
	root := t.TempDir()
	for _, folder := range []string{"services", "shared"} {
		require.NoError(t, os.Mkdir(filepath.Join(root, folder), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, "shared", "a.go"), []byte(content), 0o600))
	return root
}

// The text of an edit must be there exactly once: a mutant that no longer fits must fail, not run as the product does.
func TestAnEditThatDoesNotFitIsAnError(t *testing.T) {
	t.Parallel()
	edit := func(old string) mutants.Mutant {
		return mutants.Mutant{Name: "wrong", Edits: []mutants.Edit{{File: "shared/a.go", Old: old, New: "x"}}}
	}
	root := repository(t, "package a\n\nvar b, c = 1, 1\n")
	for old, times := range map[string]string{"var d": "0 times", "1": "2 times"} {
		_, err := edit(old).Overlay(root, t.TempDir())
		require.ErrorContains(t, err, times)
		require.ErrorContains(t, err, "shared/a.go")
		require.ErrorContains(t, err, `"wrong"`)
	}
	_, err := mutants.Mutant{Edits: []mutants.Edit{{File: "shared/gone.go"}}}.Overlay(root, t.TempDir())
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Several edits of one file add up, and the other clock stays in it.
func TestEditsOfOneFileAddUp(t *testing.T) {
	t.Parallel()
	const source = "package a\n\nimport \"time\"\n\nvar b, c = time.Now(), 2\n"
	root := repository(t, source)
	files := overlay(t, mutants.Mutant{Edits: []mutants.Edit{
		{File: "shared/a.go", Old: "var b,", New: "var bb,"}, {File: "shared/a.go", Old: " 2", New: " 3"},
	}}, root)
	require.Contains(t, contentOf(t, files["shared/a.go"]), "var bb, c = stepclock.Now(), 3")
	require.Equal(t, source, contentOf(t, filepath.Join(root, "shared", "a.go")), "the product's own file is changed")
}

// A program that does not compile is an error with the compiler's message, and is not run.
func TestBuildFailsWithTheCompilersMessage(t *testing.T) {
	t.Parallel()
	_, err := mutants.Mutant{Name: "broken"}.Build(t.Context(), repository(t, "package a\n"), t.TempDir())
	require.ErrorContains(t, err, `"broken" does not compile`)
}
