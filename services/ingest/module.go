package ingest

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/drain"
	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
)

// Module serves the ingest route and drains the commerce outbox.
var Module = fx.Module("ingest",
	fx.Provide(accept.New, newDrainer, fx.Private),
	fx.Provide(
		platformfx.AsRoutes(routes),
		platformfx.AsLoop(func(d *drain.Drainer) *drain.Drainer { return d }),
		platformfx.AsProbe(func(d *drain.Drainer) platform.Probe { return platform.Probe{Name: d.Name(), Check: d.Check} }),
	),
)

func newDrainer(pool *pgxpool.Pool, accepter *accept.Accepter, log *slog.Logger) *drain.Drainer {
	return drain.New(pool, accepter, log.With("service", "ingest"))
}
