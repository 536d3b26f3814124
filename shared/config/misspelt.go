package config

import (
	"fmt"
	"strings"

	"github.com/erpconnector/erpconnector/shared/spelling"
)

// Misspelt tells of each name that is no variable of ours and nearly one, like ERP_BASEURL. Names that begin with another word than
// the variable that is near are left alone: an environment is full of other programs' variables.
func Misspelt(names []string) (told []string) {
	var known []string
	for _, v := range Variables() {
		known = append(known, v.Name)
		if v.Secret {
			known = append(known, v.Name+"_FILE")
		}
	}
	for _, name := range names {
		meant := spelling.Nearest(name, known)
		if meant != "" && meant != name && firstWord(meant) == firstWord(name) {
			told = append(told, fmt.Sprintf("%s is no variable: did you mean %s?", name, meant))
		}
	}
	return told
}

func firstWord(name string) string {
	word, _, _ := strings.Cut(name, "_")
	return word
}
