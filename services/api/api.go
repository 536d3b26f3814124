// Package api serves support and operators: it shows the state of an order, and sends it, sends it again, or cancels it. It takes the
// callbacks of the ERP too.
//
// An example, with the paths below /rest/V1/erpconnector:
//
//	GET  /sync-status/000000123                                                  200 {"status": "failed", "last_error": "no such sku", …}
//	POST /resync-order?wait=30  {"orderIncrementId": "000000123"}                202 {"status": "queued", …}
//	GET  /timeline/000000123                                                     200 {"events": [requested, before_send, …]}
//	GET  /syncs?status=failed&error=no+such+sku                                  200 {"syncs": […], "next": "u.1705314600000000.7"}
//
// What the answers promise:
//
//   - Paths, members and messages of the module's requests are the module's. Members of our own come beside them.
//   - 200 of a command means that the order's generation has ended, well or not: success says which. 202 means that it is under way
//     after ?wait= seconds. The command was taken in both cases.
//   - Any other status means that nothing was done, but for 503 "database_unavailable" of a command: the commit's answer was lost, and
//     sync-status tells.
//   - A failure is problem+json with a stable code, and says what to do next.
//
// The files: orders.go has the commands, and await.go how they wait; bulk.go and bulk_jobs.go commands for many orders; webhook.go the
// callbacks; status.go, timeline.go, syncs.go and dead_letters.go what is shown; stream.go what happens now; audits.go audits;
// settings.go the settings.
// What a command does to an order is decided in shared/orders, by the table in shared/domain; here it is only read and answered.
package api

import (
	"log/slog"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/services/api/internal/stream"
	"github.com/erpconnector/erpconnector/shared/audits"
	"github.com/erpconnector/erpconnector/shared/bulk"
	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/logging"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// handler answers all requests but those about settings. It keeps nothing between requests except who waits.
type handler struct {
	pool     *pgxpool.Pool
	statuses *statusReads
	orders   *orders.Orders
	waiting  *waiters
	pace     *pace.Store
	bulk     *bulk.Store
	audits   *audits.Store
	settings setting.Reader
	kafka    kafka.Config
	secrets  func() config.ERPSecrets // for the signatures of callbacks
	log      *slog.Logger

	stream      *stream.Hub
	streamTimes times
}

// routes are the requests about orders, dead letters and the ERP's pace. Each names the right that its token must hold, and the
// parameters that it takes: the router refuses others, as a misspelt "source" would ask about another shop's order.
func routes(pool *pgxpool.Pool, o *orders.Orders, brokers kafka.Config, erp config.ERP, settings setting.Reader, log *slog.Logger) []httpapi.Route {
	if erp.HMAC == "" { // a connector without callbacks works, so this is no reason to stop
		log.Warn("ERP_HMAC_SECRET is not set: callbacks of the ERP are refused", "service", "api")
	}
	log = log.With("service", "api")
	paces := pace.NewStore(pool)
	h := &handler{
		pool: pool, statuses: newStatusReads(pool, paces, settings, log), orders: o, waiting: newWaiters(rowsOf(pool)), pace: paces,
		bulk: bulk.NewStore(pool, settings), audits: audits.NewStore(pool), settings: settings, kafka: brokers,
		secrets: erp.Secrets(logging.Secrets(log)), log: log, stream: stream.NewHub(brokers, stream.DefaultLimits, log), streamTimes: streamTimes,
	}
	command := func(path string, resource httpapi.Resource, kind commandKind) httpapi.Route {
		return httpapi.Route{
			Method: http.MethodPost, Path: httpapi.BasePath + path, Query: []string{sourceParameter, "wait"}, Resource: resource, BySource: true,
			Handler: h.command(kind),
		}
	}
	return slices.Concat(h.deadLetterRoutes(), h.syncRoutes(), h.bulkRoutes(), h.auditRoutes(), []httpapi.Route{
		meRoute(),
		h.erpRoute(),
		h.streamRoute(),
		h.breakerRoute("/erp/open", openByHand),
		h.breakerRoute("/erp/close", closeByHand),
		{
			Method: http.MethodGet, Path: httpapi.BasePath + "/sync-status/{id}", Query: []string{sourceParameter}, Resource: httpapi.ResourceViewStatus,
			BySource: true, Handler: http.HandlerFunc(h.syncStatus),
		},
		{
			Method: http.MethodGet, Path: httpapi.BasePath + "/timeline/{id}", Query: []string{"cursor", "limit", sourceParameter}, Resource: httpapi.ResourceViewStatus,
			BySource: true, Handler: http.HandlerFunc(h.timeline),
		},
		command("/sync-order", httpapi.ResourceSync, syncCommand),
		command("/resync-order", httpapi.ResourceResync, resyncCommand),
		command("/send-order-now", httpapi.ResourceManage, sendNowCommand),
		command("/cancel-order", httpapi.ResourceManage, cancelCommand),
		command("/settle-order", httpapi.ResourceManage, settleCommand),
		{ // the signature covers only the body, so no parameter could be trusted
			Method: http.MethodPost, Path: httpapi.BasePath + "/webhook", Resource: httpapi.ResourceNone, Handler: http.HandlerFunc(h.webhook),
		},
	})
}
