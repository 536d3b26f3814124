// Package signature signs and verifies bodies, in two forms: the module's X-Signature and Standard Webhooks 1.0.0.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// The headers that carry a signature and what it covers.
const (
	HeaderModule    = "X-Signature"
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp"
	HeaderSignature = "Webhook-Signature"
)

// Module returns the module's signature: base64 of HMAC-SHA256 over the body. It covers no time, so it cannot stop a replay.
func Module(secret string, body []byte) string { return mac([]byte(secret), body) }

// VerifyModule reports whether one of the signatures was made with one of the secrets. So secrets can rotate with an overlap on
// either side. It compares in constant time. A header may hold several signatures, separated by commas.
func VerifyModule(secrets []string, body []byte, signatures ...string) bool {
	ok := false // no early return: the time must not tell which secret fits
	for _, s := range secrets {
		want := []byte(Module(s, body))
		for _, header := range signatures {
			for given := range strings.SplitSeq(header, ",") {
				ok = hmac.Equal(want, []byte(strings.TrimSpace(given))) || ok
			}
		}
	}
	return ok
}

// Standard returns the value of Webhook-Signature: one signature for each secret, the newest first. The id must not contain a
// dot, as dots separate what is signed.
func Standard(secrets []string, id string, at time.Time, body []byte) string {
	var signatures []string
	for _, s := range secrets {
		signatures = append(signatures, "v1,"+mac(key(s), content(id, strconv.FormatInt(at.Unix(), 10), body)))
	}
	return strings.Join(signatures, " ")
}

// Tolerance is how far a signed timestamp may lie from now, as in the reference libraries.
const Tolerance = 5 * time.Minute

// VerifyStandard reports whether the timestamp is within Tolerance of now, and one of the signatures was made with one of the
// secrets. It compares signatures in constant time.
func VerifyStandard(secrets []string, id, timestamp, signatures string, body []byte, now time.Time) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > Tolerance {
		return false
	}
	ok := false
	for _, s := range secrets {
		want := "v1," + mac(key(s), content(id, timestamp, body))
		for given := range strings.FieldsSeq(signatures) {
			ok = hmac.Equal([]byte(want), []byte(given)) || ok
		}
	}
	return ok
}

// content returns what Standard Webhooks sign: the id and the timestamp as well as the body.
func content(id, timestamp string, body []byte) []byte {
	return append([]byte(id+"."+timestamp+"."), body...)
}

// key returns the decoded part of a whsec_ secret, or the secret's own bytes.
func key(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return raw
		}
	}
	return []byte(secret)
}

func mac(key, content []byte) string {
	h := hmac.New(sha256.New, key)
	h.Write(content)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
