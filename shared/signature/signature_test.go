package signature

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Vectors by another implementation:
//
//	printf '{"order_increment_id":"000000123"}' | openssl dgst -sha256 -hmac 's3cret' -binary | base64
func TestModuleSignatureIsOpenSSLs(t *testing.T) {
	body := []byte(`{"order_increment_id":"000000123"}`)
	require.Equal(t, "bURYbhJID0NY93oZNXZnRIN91CGpdXnCO3/T+4xA79E=", Module("s3cret", body))
	require.True(t, VerifyModule([]string{"new", "s3cret"}, body, "bURYbhJID0NY93oZNXZnRIN91CGpdXnCO3/T+4xA79E="))
	require.False(t, VerifyModule([]string{"new"}, body, "bURYbhJID0NY93oZNXZnRIN91CGpdXnCO3/T+4xA79E="))
	require.False(t, VerifyModule(nil, body, ""))
}

// The vector of the Standard Webhooks reference libraries.
func TestStandardWebhooksVector(t *testing.T) {
	const secret, id, stamp = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	body, at := []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)
	require.Equal(t, want, Standard([]string{secret}, id, at, body))
	require.True(t, VerifyStandard([]string{"other", secret}, id, stamp, "v1,AAAA "+want, body, at.Add(Tolerance)))
	require.False(t, VerifyStandard([]string{secret}, id, stamp, want, body, at.Add(Tolerance+time.Second)))
	require.False(t, VerifyStandard([]string{secret}, id, "x", want, body, at))
}
