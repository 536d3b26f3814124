package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// flagOf is the flag of a word.
func flagOf(word string) string { return strings.ReplaceAll(word, "_", "-") }

// listed puts names into a line.
func listed[T ~string](names []T, between string) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = string(n)
	}
	return strings.Join(texts, between)
}

// shorten is the text as it may be shown, cut to so many characters.
func shorten(s string, most int) string { return cut(domain.Printable(s), most) }

// cut is at most so many characters of a text.
func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

// parseIDs reads ids, each once. A second one of its kind would be told as one that is gone, since the first has just been dealt with.
func parseIDs(args []string, list string) ([]int64, error) {
	var ids []int64
	for _, arg := range args {
		id, err := strconv.ParseInt(arg, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no id: erpconnector %s shows them", arg, list)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
