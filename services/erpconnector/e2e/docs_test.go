package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/app"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/event"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

var update = flag.Bool("update", false, "rewrite generated documents")

const repository = "../../.." // the repository, seen from this package

func TestFlowNamesAtMostEightFilesThatExist(t *testing.T) {
	text, err := os.ReadFile(repository + "/docs/flow.md")
	require.NoError(t, err)
	steps := regexp.MustCompile("(?m)^[0-9]+\\. \\[`([^`]+)`\\]\\(\\.\\./([^)]+)\\)").FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, steps)
	require.LessOrEqual(t, len(steps), 8)
	for _, s := range steps {
		require.Equal(t, s[1], s[2])
		require.FileExists(t, filepath.Join(repository, s[1]))
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	docs, err := filepath.Glob(repository + "/docs/*.md")
	require.NoError(t, err)
	adrs, err := filepath.Glob(repository + "/docs/adr/*.md")
	require.NoError(t, err)
	link := regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	for _, doc := range append(append(docs, adrs...), repository+"/README.md", repository+"/CHANGELOG.md") {
		text, err := os.ReadFile(doc)
		require.NoError(t, err)
		for _, l := range link.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(doc), l[1]))
			require.NoError(t, err, "%s links to %s", doc, l[1])
		}
	}
}

func TestConfigurationIsDocumented(t *testing.T) {
	page, err := os.ReadFile("testdata/config.md.tmpl")
	require.NoError(t, err)
	var variables, settings []string
	for _, v := range config.Variables() {
		f := v.Setting
		if f == nil {
			entry := "**" + code(v.Name) + "**" + map[bool]string{true: ", secret"}[v.Secret] + withDefault(v.Default)
			variables = append(variables, listEntry(entry, v.Meaning))
			continue
		}
		settings = append(settings, listEntry("**"+code(f.Name)+"**, "+code(v.Name)+withDefault(v.Default), "Takes "+f.Allowed+".", v.Meaning))
	}
	want := strings.NewReplacer("{{variables}}", strings.Join(variables, "\n"), "{{settings}}", strings.Join(settings, "\n")).Replace(string(page))
	file := repository + "/docs/config.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run `go test ./services/erpconnector/e2e -run Configuration -update`")
}

func withDefault(value string) string {
	if value == "" {
		return ""
	}
	return ", default " + code(value)
}

// listEntry is an entry of a list, with each paragraph below it folded to the width of a page.
func listEntry(entry string, paragraphs ...string) string {
	const width = 118
	text := "- " + entry + ":"
	for _, p := range paragraphs {
		line := " "
		for _, word := range strings.Fields(p) {
			if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
				text, line = text+"\n"+line, " "
			}
			line += " " + word
		}
		text += "\n" + line
	}
	return text
}

// The limits of texts are those that the doors have, each in one place.
func TestLimitsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(repository + "/services/erpconnector/e2e/testdata/limits.md.tmpl")
	require.NoError(t, err)
	var texts strings.Builder
	for _, k := range domain.TextKinds {
		fmt.Fprintf(&texts, "| %s | %s | %d |\n", k.Name, k.Meaning, k.MaxBytes)
	}
	for _, more := range []struct {
		name, meaning string
		most          int
	}{
		{"event id", "a shop's own name for an event", event.MaxEventIDBytes},
		{"increment id", "what people call an order", domain.MaxIncrementIDBytes},
	} {
		fmt.Fprintf(&texts, "| %s | %s | %d |\n", more.name, more.meaning, more.most)
	}
	want := strings.NewReplacer("{{texts}}", strings.TrimSuffix(texts.String(), "\n"), "{{depth}}", fmt.Sprint(strictjson.MaxDepth)).Replace(string(page))
	file := repository + "/docs/limits.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o600))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run `go test ./services/erpconnector/e2e -run Documented -update`")
	for _, code := range problem.Codes {
		require.Contains(t, want, "| `"+code+"` |")
	}
}

// code is the text as code; nothing for nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// Test libraries never reach a binary, and services do not import each other. Run with -count=1: the test cache does not
// see what a subprocess read.
func TestTheBinaryLinksNoTestLibrary(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "..").Output()
	require.NoError(t, err)
	for _, dep := range strings.Fields(string(out)) {
		for _, forbidden := range []string{"testify", "goleak", "/testkit", "pgregory.net/rapid", "jsonschema", "compose-spec", "moby/patternmatcher"} {
			require.NotContains(t, dep, forbidden)
		}
	}
}

func TestServicesDoNotImportEachOther(t *testing.T) {
	for _, name := range app.Names() {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../../"+name).Output() //nolint:gosec // our own names
		require.NoError(t, err)
		for _, dep := range strings.Fields(string(out)) {
			service, ours := strings.CutPrefix(dep, "github.com/erpconnector/erpconnector/services/")
			if ours {
				require.Equal(t, name, strings.Split(service, "/")[0], "service %s imports %s", name, dep)
			}
		}
	}
}
