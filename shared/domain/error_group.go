package domain

import (
	"encoding/binary"
	"hash/fnv"
	"regexp"
	"strings"
)

// maxGroupText bounds the text of a group, in bytes. What errors say beyond that does not tell groups apart.
const maxGroupText = 300

// ErrorGroup is what errors of one kind have in common.
type ErrorGroup struct {
	HTTPStatus int // of the ERP's answer; 0: there was none
	Code       ErrorCode
	Text       string // see GroupText
	Answer     AnswerError
}

// Fingerprint is the edition of the rules by which errors are told apart: of the ID, and of what goes into it. Whoever changes them counts it
// up; then the projector makes the groups anew.
const Fingerprint = 2

// ID identifies the group: a hash, above 0, the same in every process. What the answer does not say is not in it.
func (g ErrorGroup) ID() int64 {
	h := fnv.New64a()
	var status [8]byte
	binary.BigEndian.PutUint64(status[:], uint64(g.HTTPStatus)) //nolint:gosec // a hash
	_, _ = h.Write(status[:])
	_, _ = h.Write([]byte(string(g.Code) + "\x00" + g.Text))
	if g.Answer != (AnswerError{}) {
		_, _ = h.Write([]byte("\x00" + g.Answer.Code + "\x00" + g.Answer.Field))
	}
	return int64(h.Sum64()>>1 | 1) //nolint:gosec // 63 bits
}

var (
	groupQuoted = regexp.MustCompile(`"[^"]*"|'[^']*'|“[^”]*”|„[^“”]*[“”]|«[^»]*»`)
	groupNumber = regexp.MustCompile(`[^\s,;:()\[\]{}<>="'“”„«»]*[0-9@][^\s,;:()\[\]{}<>="'“”„«»]*`)
	groupSpace  = regexp.MustCompile(`\s+`)
)

// GroupText is a text without what differs between errors of one kind: "no such sku ABC-12 in order 000000123" and the same of another
// order are "no such sku # in order #". A word with a digit or an @ becomes #, as does what stands in quotation marks.
func GroupText(text string) string {
	text = Truncate(text, 4*maxGroupText)
	text = groupQuoted.ReplaceAllString(text, "#")
	text = groupNumber.ReplaceAllString(text, "#")
	return Truncate(strings.TrimSpace(groupSpace.ReplaceAllString(text, " ")), maxGroupText)
}
