package api

import (
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
)

// Module serves the API's routes.
var Module = fx.Module("api",
	fx.Provide(orders.New, fx.Private),
	fx.Provide(platformfx.AsRoutes(routes), platformfx.AsRoutes(settingsRoutes)),
)
