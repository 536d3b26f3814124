// Package api answers what support and operators ask: where an order stands, and to send it, once more or not at all. It
// takes the ERP's callbacks.
package api

import (
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/platform"
)

type handler struct {
	pool    *pgxpool.Pool
	orders  *orders.Orders
	waiting *waiters
	kafka   kafka.Config
	secret  platform.Secret // of the ERP's callbacks
	log     *slog.Logger
}

func routes(pool *pgxpool.Pool, o *orders.Orders, cfg platform.Config, log *slog.Logger) []platform.Route {
	if cfg.ErpHMAC == "" {
		log.Warn("ERP_HMAC_SECRET is not set: callbacks of the ERP are refused", "service", "api")
	}
	h := &handler{pool: pool, orders: o, waiting: newWaiters(rowsOf(pool)), kafka: cfg.Kafka(), secret: cfg.ErpHMAC, log: log.With("service", "api")}
	command := func(path string, resource platform.Resource, what asked) platform.Route {
		return platform.Route{
			Method: http.MethodPost, Path: platform.BasePath + path, Query: []string{sourceParameter, "wait"}, Resource: resource, Handler: h.ask(what),
		}
	}
	return append(h.deadLetterRoutes(), []platform.Route{
		{
			Method: http.MethodGet, Path: platform.BasePath + "/sync-status/{id}", Query: []string{sourceParameter}, Resource: platform.ResourceViewStatus,
			Handler: http.HandlerFunc(h.syncStatus),
		},
		{
			Method: http.MethodGet, Path: platform.BasePath + "/timeline/{id}", Query: []string{"cursor", "limit", sourceParameter}, Resource: platform.ResourceViewStatus,
			Handler: http.HandlerFunc(h.timeline),
		},
		command("/sync-order", platform.ResourceSync, askSync),
		command("/resync-order", platform.ResourceResync, askResync),
		command("/send-order-now", platform.ResourceManage, askSendNow),
		command("/cancel-order", platform.ResourceManage, askCancel),
		command("/settle-order", platform.ResourceManage, askSettle),
		{ // its signature is over the body alone, so that no parameter can be believed
			Method: http.MethodPost, Path: platform.BasePath + "/webhook", Resource: platform.ResourceNone, Handler: http.HandlerFunc(h.webhook),
		},
	}...)
}
