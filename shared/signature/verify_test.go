package signature

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var signedAt = time.Unix(1_700_000_000, 0)

// What is signed is verified with the same secret and body, and with nothing else.
func TestVerifyTakesWhatWasSignedAndNothingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(1, 20, 40).Draw(t, "secret")
		body := rapid.SliceOfN(rapid.Byte(), 1, 60).Draw(t, "body")
		changed := slices.Clone(body)
		changed[rapid.IntRange(0, len(body)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")

		module := Module(secret, body)
		require.True(t, VerifyModule([]string{secret}, body, module))
		require.False(t, VerifyModule([]string{secret}, changed, module))
		require.False(t, VerifyModule([]string{secret + "x"}, body, module))

		standard, stamp := Standard([]string{secret}, "msg", signedAt, body), strconv.FormatInt(signedAt.Unix(), 10)
		require.True(t, VerifyStandard([]string{secret}, "msg", stamp, standard, body, signedAt))
		require.False(t, VerifyStandard([]string{secret}, "msg", stamp, standard, changed, signedAt))
		require.False(t, VerifyStandard([]string{secret + "x"}, "msg", stamp, standard, body, signedAt))
		require.False(t, VerifyStandard([]string{secret}, "other", stamp, standard, body, signedAt), "the id is signed")
		later := strconv.FormatInt(signedAt.Unix()+1, 10)
		require.False(t, VerifyStandard([]string{secret}, "msg", later, standard, body, signedAt), "the timestamp is signed")
	})
}

// While a secret rotates, each side may know the old one, the new one or both.
func TestSecretsRotateWithAnOverlap(t *testing.T) {
	t.Parallel()
	body, stamp := []byte(`{"status": "accepted"}`), strconv.FormatInt(signedAt.Unix(), 10)
	for name, c := range map[string]struct {
		sender, receiver []string
		want             bool
	}{
		"the_receiver_first":  {[]string{"old"}, []string{"new", "old"}, true},
		"the_sender_first":    {[]string{"new", "old"}, []string{"old"}, true},
		"both":                {[]string{"new", "old"}, []string{"new", "old"}, true},
		"without_an_overlap":  {[]string{"new"}, []string{"old"}, false},
		"nothing_to_verify":   {nil, []string{"old"}, false},
		"no_secret_to_verify": {[]string{"old"}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var headers []string
			for _, s := range c.sender {
				headers = append(headers, Module(s, body))
			}
			require.Equal(t, c.want, VerifyModule(c.receiver, body, headers...), "one header each")
			require.Equal(t, c.want, VerifyModule(c.receiver, body, strings.Join(headers, " , ")), "one header for all")
			require.Equal(t, c.want, VerifyStandard(c.receiver, "msg", stamp, Standard(c.sender, "msg", signedAt, body), body, signedAt))
		})
	}
}

// A replayed request is refused once its timestamp is old; a sender's clock may be ahead by as much.
func TestTheTimestampMayLieFiveMinutesAway(t *testing.T) {
	t.Parallel()
	body := []byte(`{}`)
	signed := Standard([]string{"secret"}, "msg", signedAt, body)
	for after, want := range map[time.Duration]bool{
		0: true, 5 * time.Minute: true, -5 * time.Minute: true,
		5*time.Minute + time.Second: false, -5*time.Minute - time.Second: false, 24 * time.Hour: false,
	} {
		stamp := strconv.FormatInt(signedAt.Unix(), 10)
		require.Equal(t, want, VerifyStandard([]string{"secret"}, "msg", stamp, signed, body, signedAt.Add(after)), "%s later", after)
	}
	for _, stamp := range []string{"", "now", "1.7e9", "1700000000.0", "99999999999999999999", "-9223372036854775808"} {
		require.False(t, VerifyStandard([]string{"secret"}, "msg", stamp, signed, body, signedAt), stamp)
	}
}

// A whsec_ secret is the base64 of its key; one that is no base64 is its own bytes, prefix included.
func TestTheKeyOfASecret(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{
		"whsec_c2VjcmV0": "secret",
		"c2VjcmV0":       "c2VjcmV0",
		"whsec_":         "",
		"whsec_n%t":      "whsec_n%t",
		"WHSEC_c2VjcmV0": "WHSEC_c2VjcmV0",
	} {
		require.Equal(t, want, string(key(secret)), secret)
	}
	require.NotEqual(t, Module("whsec_c2VjcmV0", nil), Module("secret", nil), "the module's signature knows no whsec_")
}

// The order of the signatures is that of the secrets, and each has the version before it.
func TestStandardGivesOneSignatureForEachSecret(t *testing.T) {
	t.Parallel()
	both := strings.Fields(Standard([]string{"new", "old"}, "msg", signedAt, nil))
	require.Equal(t, []string{Standard([]string{"new"}, "msg", signedAt, nil), Standard([]string{"old"}, "msg", signedAt, nil)}, both)
	require.True(t, strings.HasPrefix(both[0], "v1,"))
	unversioned := strings.TrimPrefix(both[0], "v1,")
	require.False(t, VerifyStandard([]string{"new"}, "msg", strconv.FormatInt(signedAt.Unix(), 10), unversioned, nil, signedAt))
}
