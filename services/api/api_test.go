package api

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// Without the ERP's secret every callback was refused, and nothing said so before the first one came.
func TestAMissingSecretIsToldAtTheStart(t *testing.T) {
	t.Parallel()
	for secret, warnings := range map[config.Secret]int{"": 1, "secret": 0} {
		var log bytes.Buffer
		routes(nil, orders.New(nil, setting.Fixed(setting.Defaults())), kafka.Config{}, config.ERP{HMAC: secret}, setting.Fixed(setting.Defaults()), slog.New(slog.NewTextHandler(&log, nil)))
		require.Equal(t, warnings, strings.Count(log.String(), `level=WARN msg="ERP_HMAC_SECRET is not set: callbacks of the ERP are refused" service=api`))
	}
}
