package event

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// The records of all releases have the bytes that encoding/json gives them.
func TestEncodeIsEncodeJSON(t *testing.T) {
	t.Parallel()
	said := `"order":0 <b>` + "\u2028"
	for _, order := range []string{``, `null`, `0`, ` { "a" : "<b> \u2028 \u003c` + "\u2028" + `" , "order":0, "n" : -0.50e+3 } `} {
		v := Sync{
			Sync:  domain.Sync{SyncID: 1, OrderIncrementID: `"order":0`, Source: said},
			Order: json.RawMessage(order), Warnings: []string{said}, Payload: &said,
		}
		want, err := domain.EncodeJSON(v)
		require.NoError(t, err)
		got, err := encode(v)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	_, err := encode(Sync{Order: json.RawMessage(`{"a":`)})
	require.Error(t, err)
}
