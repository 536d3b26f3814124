package api

import (
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module serves the API's routes.
var Module = fx.Module("api",
	fx.Provide(orders.New, fx.Private),
	fx.Provide(wiring.AsRoutes(routes), wiring.AsRoutes(settingsRoutes), wiring.AsRoutes(tokenRoutes), wiring.AsRoutes(alertRoutes)),
)
