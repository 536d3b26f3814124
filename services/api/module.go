package api

import (
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/api/internal/console"
	"github.com/erpconnector/erpconnector/shared/access"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module serves the API's routes.
var Module = fx.Module("api",
	fx.Provide(orders.New, access.NewLogins, fx.Private),
	fx.Provide(
		wiring.AsRoutes(routes), wiring.AsRoutes(settingsRoutes), wiring.AsRoutes(tokenRoutes), wiring.AsRoutes(userRoutes),
		wiring.AsRoutes(loginRoutes), wiring.AsRoutes(alertRoutes), wiring.AsRoutes(console.Routes),
	),
)
