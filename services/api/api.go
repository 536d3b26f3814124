// Package api answers what support and operators ask: where an order stands, and to send it, once more or not at all. It
// takes the ERP's callbacks.
package api

import (
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
)

type handler struct {
	pool    *pgxpool.Pool
	orders  *orders.Orders
	waiting *waiters
	kafka   kafka.Config
	secret  config.Secret // of the ERP's callbacks
	log     *slog.Logger
}

func routes(pool *pgxpool.Pool, o *orders.Orders, brokers kafka.Config, erp config.ERP, log *slog.Logger) []httpapi.Route {
	if erp.HMAC == "" {
		log.Warn("ERP_HMAC_SECRET is not set: callbacks of the ERP are refused", "service", "api")
	}
	h := &handler{pool: pool, orders: o, waiting: newWaiters(rowsOf(pool)), kafka: brokers, secret: erp.HMAC, log: log.With("service", "api")}
	command := func(path string, resource httpapi.Resource, what asked) httpapi.Route {
		return httpapi.Route{
			Method: http.MethodPost, Path: httpapi.BasePath + path, Query: []string{sourceParameter, "wait"}, Resource: resource, Handler: h.ask(what),
		}
	}
	return append(h.deadLetterRoutes(), []httpapi.Route{
		{
			Method: http.MethodGet, Path: httpapi.BasePath + "/sync-status/{id}", Query: []string{sourceParameter}, Resource: httpapi.ResourceViewStatus,
			Handler: http.HandlerFunc(h.syncStatus),
		},
		{
			Method: http.MethodGet, Path: httpapi.BasePath + "/timeline/{id}", Query: []string{"cursor", "limit", sourceParameter}, Resource: httpapi.ResourceViewStatus,
			Handler: http.HandlerFunc(h.timeline),
		},
		command("/sync-order", httpapi.ResourceSync, askSync),
		command("/resync-order", httpapi.ResourceResync, askResync),
		command("/send-order-now", httpapi.ResourceManage, askSendNow),
		command("/cancel-order", httpapi.ResourceManage, askCancel),
		command("/settle-order", httpapi.ResourceManage, askSettle),
		{ // its signature is over the body alone, so that no parameter can be believed
			Method: http.MethodPost, Path: httpapi.BasePath + "/webhook", Resource: httpapi.ResourceNone, Handler: http.HandlerFunc(h.webhook),
		},
	}...)
}
