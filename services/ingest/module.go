package ingest

import (
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
)

// Module serves the ingest route.
var Module = fx.Module("ingest", fx.Provide(accept.New, fx.Private), fx.Provide(platformfx.AsRoutes(routes)))
