package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

const (
	maxLine     = 160 // characters: what a diff or a terminal shows without folding
	firstScreen = 30  // lines
)

// pagesOf reads the documents that the patterns name, from the repository's root.
func pagesOf(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(repository, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			text, err := os.ReadFile(file) //nolint:gosec // our own files
			require.NoError(t, err)
			pages[file] = string(text)
		}
	}
	return pages
}

// A line that does not fit a terminal is read twice, and a change in it cannot be reviewed.
func TestPagesHaveShortLines(t *testing.T) {
	for file, page := range pagesOf(t, "README.md", "CHANGELOG.md", "docs/*.md", "docs/adr/*.md") {
		n := 0
		for line := range strings.Lines(page) {
			n++
			if length := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); length > maxLine {
				t.Errorf("%s:%d has %d characters; at most %d fit", file, n, length, maxLine)
			}
		}
	}
}

// A reader sees what to do, or an example, before the rule.
func TestPagesBeginWithAnExample(t *testing.T) {
	for file, page := range pagesOf(t, "README.md", "docs/*.md") {
		lines := strings.Split(page, "\n")
		first := lines[:min(firstScreen, len(lines))]
		if !slices.ContainsFunc(first, func(line string) bool { return strings.HasPrefix(line, "```") }) {
			t.Errorf("%s shows no command and no example in its first %d lines", file, firstScreen)
		}
	}
}

// Each word that is ours stands in the glossary, with an example and with where it lives in the code.
func TestGlossaryHasOurWords(t *testing.T) {
	page := pagesOf(t, "docs/glossary.md")[filepath.Join(repository, "docs/glossary.md")]
	for _, word := range []string{
		"Generation", "Gate", "Chain record", "Fact", "Fold", "Settle", "Quarantine", "Replay", "Outbox", "Watermark", "Gap", "Retry tier",
		"Forward", "Lease", "In doubt", "Dead letter", "Lane", "Epoch", "Shadow", "Breaker", "Pace", "Permit",
	} {
		_, entry, found := strings.Cut(page, "\n**"+word+".** ")
		require.True(t, found, word)
		entry, _, _ = strings.Cut(entry, "\n\n")
		require.Contains(t, entry, "\n- Example: ", word)
		require.Contains(t, entry, "\n- Code: ", word)
	}
}

// Links to a part of a page lead to a heading that is there.
func TestAnchorsLeadToHeadings(t *testing.T) {
	pages := pagesOf(t, "README.md", "CHANGELOG.md", "docs/*.md", "docs/adr/*.md")
	link := regexp.MustCompile(`\]\(([^)#:]*)#([^)]+)\)`)
	for file, page := range pages {
		for _, l := range link.FindAllStringSubmatch(page, -1) {
			to := file
			if l[1] != "" {
				to = filepath.Join(filepath.Dir(file), l[1])
			}
			require.Contains(t, anchorsIn(pages[to]), l[2], "%s links to %s#%s", file, l[1], l[2])
		}
	}
}

// anchorsIn are the names that GitHub gives a page's headings.
func anchorsIn(page string) (anchors []string) {
	fenced := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "```") {
			fenced = !fenced
		}
		hashes, heading, isHeading := strings.Cut(strings.TrimSpace(line), " ")
		if fenced || !isHeading || strings.Trim(hashes, "#") != "" {
			continue
		}
		heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
		anchors = append(anchors, strings.ReplaceAll(heading, " ", "-"))
	}
	return anchors
}
