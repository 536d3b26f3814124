package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// What OWASP's Password Storage Cheat Sheet recommends for argon2id. One hash takes some 20 ms.
const (
	hashKiB    = 19 * 1024
	hashPasses = 2
	hashLanes  = 1
	hashBytes  = 32
	saltBytes  = 16
)

// The length of a password, in bytes. A person's may be a sentence; random ones have 26 characters here.
const (
	minPasswordBytes = 12
	maxPasswordBytes = 256
)

const (
	hashesAtOnce  = 2  // so that logins take 38 MiB at most
	hashesInQueue = 50 // with those at work: half a second of them
)

// ErrBusy says that so many log in at once that no more can wait.
var ErrBusy = errors.New("too many logins at once")

var (
	hashing = make(chan struct{}, hashesAtOnce)
	queued  = make(chan struct{}, hashesInQueue)
)

// derive returns the argon2id key of a password. It waits while others are at it, and returns ErrBusy when too many wait.
func derive(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case queued <- struct{}{}:
		defer func() { <-queued }()
	default:
		return nil, ErrBusy
	}
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
		return argon2.IDKey([]byte(password), salt, hashPasses, hashKiB, hashLanes, hashBytes), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hashed is a password as the table keeps it, in the form of the argon2 tools.
func hashed(ctx context.Context, password string) (string, error) {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // it never fails
	key, err := derive(ctx, password, salt)
	if err != nil {
		return "", err
	}
	return hashForm + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key), nil
}

// hashForm is how each hash begins. Other parameters get a form of their own beside it.
var hashForm = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, hashKiB, hashPasses, hashLanes)

// nobodysHash is compared for a name that no user has, so that an answer takes as long as for a user.
var nobodysHash = hashForm + base64.RawStdEncoding.EncodeToString(make([]byte, saltBytes)) + "$" + base64.RawStdEncoding.EncodeToString(make([]byte, hashBytes))

// matches reports whether the hash is that of the password.
func matches(ctx context.Context, hash, password string) (bool, error) {
	rest, ours := strings.CutPrefix(hash, hashForm)
	saltText, keyText, _ := strings.Cut(rest, "$")
	salt, errSalt := base64.RawStdEncoding.DecodeString(saltText)
	want, errKey := base64.RawStdEncoding.DecodeString(keyText)
	if err := errors.Join(errSalt, errKey); err != nil || !ours {
		return false, fmt.Errorf("the hash of a password is in no known form: %w", err)
	}
	got, err := derive(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
