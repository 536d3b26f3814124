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

func routes(pool *pgxpool.Pool, asked *orders.Orders, cfg platform.Config, log *slog.Logger) []platform.Route {
	h := &handler{pool: pool, orders: asked, waiting: newWaiters(rowsOf(pool)), kafka: cfg.Kafka(), secret: cfg.ErpHMAC, log: log.With("service", "api")}
	post := func(path string, resource platform.Resource, handle http.HandlerFunc) platform.Route {
		return platform.Route{Method: http.MethodPost, Path: platform.BasePath + path, Resource: resource, Handler: handle}
	}
	return append(h.deadLetterRoutes(), []platform.Route{
		{
			Method: http.MethodGet, Path: platform.BasePath + "/sync-status/{id}", Resource: platform.ResourceViewStatus,
			Handler: http.HandlerFunc(h.syncStatus),
		},
		{
			Method: http.MethodGet, Path: platform.BasePath + "/timeline/{id}", Resource: platform.ResourceViewStatus,
			Handler: http.HandlerFunc(h.timeline),
		},
		post("/sync-order", platform.ResourceSync, h.ask(askSync)),
		post("/resync-order", platform.ResourceResync, h.ask(askResync)),
		post("/send-order-now", platform.ResourceManage, h.ask(askSendNow)),
		post("/cancel-order", platform.ResourceManage, h.ask(askCancel)),
		post("/settle-order", platform.ResourceManage, h.ask(askSettle)),
		post("/webhook", platform.ResourceNone, h.webhook),
	}...)
}
