// Package spelling finds the name that somebody probably meant.
package spelling

import (
	"fmt"
	"strings"
)

// maxRunes bounds the cost of a comparison, which is the product of the lengths. A longer name is no typing mistake.
const maxRunes = 64

// Nearest returns the known name that was probably meant. It is empty when none is near: up to a third of the letters may be
// wrong, and one of a short name. Case, hyphens and underscores do not count. Two swapped letters are one mistake. Of equally
// near names the first is returned.
func Nearest(name string, known []string) string {
	given := plain(name)
	if len(given) > maxRunes {
		return ""
	}
	nearest, minDistance := "", max(1, len(given)/3)+1
	for _, k := range known {
		if d := distance(given, plain(k)); d < minDistance {
			nearest, minDistance = k, d
		}
	}
	return nearest
}

// Hint says what to write instead of an unknown name: the nearest known one, else all of them.
func Hint(name string, known []string) string {
	switch nearest := Nearest(name, known); {
	case nearest != "":
		return fmt.Sprintf("did you mean %s?", nearest)
	case len(known) == 0:
		return "none is taken here"
	case len(known) == 1:
		return "there is " + known[0]
	default:
		return "there are " + strings.Join(known, ", ")
	}
}

// plain removes what does not count from a name. It cuts a very long one first: a rune has at most 4 bytes.
func plain(name string) []rune {
	if len(name) > 4*maxRunes {
		name = name[:4*maxRunes]
	}
	return []rune(strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name)))
}

// distance returns the smallest number of letters to insert, leave out, change, or swap with their neighbour (optimal string
// alignment). It keeps three rows of the table: a swap looks two rows back.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
