// Package access holds the tokens of the API: who may do what, for which shop, and until when.
//
// An example, a token with which the shop outlet publishes its events:
//
//	t, secret, err := access.NewStore(pool).Create(ctx, access.New{Name: "outlet's shop", Resources: []httpapi.Resource{httpapi.ResourcePublish}, Source: "outlet", By: "jane"})
//	// secret is erpc_4f7Kq2_…, which nobody can read again
//
// The table keeps the SHA-256 of a token. A token has 256 random bits, so no slower hash is needed: nobody guesses one.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"strings"
)

const (
	prefix    = "erpc_" // by which a scanner of secrets knows a token
	hintBytes = 6
)

// newSecret makes a token: the prefix, a hint of six characters, 256 random bits, and a checksum. The checksum lets a server pass over
// what is no token without asking the database, and a scanner tell one from random text.
func newSecret() (secret, hint string) {
	hint = rand.Text()[:hintBytes]
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	body := prefix + hint + "_" + base64.RawURLEncoding.EncodeToString(random[:])
	return body + checksum(body), prefix + hint
}

// checksum is of four bytes, in six characters.
func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	return base64.RawURLEncoding.EncodeToString([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// isSecret reports whether a text has the form of a token.
func isSecret(text string) bool {
	const sumBytes = 6
	n := len(text) - sumBytes
	return n > 0 && strings.HasPrefix(text, prefix) && checksum(text[:n]) == text[n:]
}

func hashOf(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }
