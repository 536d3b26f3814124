package ingest

import (
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/services/ingest/internal/accept"
	"github.com/erpconnector/erpconnector/services/ingest/internal/drain"
	"github.com/erpconnector/erpconnector/services/ingest/internal/quarantine"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/setting"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module serves the routes of events and of the quarantine, and drains the commerce outbox.
var Module = fx.Module("ingest",
	fx.Provide(accept.New, quarantine.NewKeeper, newDrainer, fx.Private),
	fx.Provide(
		wiring.AsRoutes(routes),
		wiring.AsWorker(func(d *drain.Drainer) *drain.Drainer { return d }),
		wiring.AsProbe(func(d *drain.Drainer) httpapi.Probe { return httpapi.Probe{Name: d.Name(), Check: d.Check} }),
	),
)

// newDrainer gives the drainer the same accepter as the route has, so that both take events under the same settings.
func newDrainer(pool *pgxpool.Pool, accepter *accept.Accepter, settings setting.Reader, log *slog.Logger) *drain.Drainer {
	return drain.New(pool, accepter, settings, log.With("service", "ingest"))
}
