// Package api serves support and operators: it shows the state of an order, and sends it, sends it again, or cancels it. It takes the
// callbacks of the ERP too.
package api

import (
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/kafka"
	"github.com/erpconnector/erpconnector/shared/orders"
	"github.com/erpconnector/erpconnector/shared/pace"
	"github.com/erpconnector/erpconnector/shared/setting"
)

type handler struct {
	pool     *pgxpool.Pool
	orders   *orders.Orders
	waiting  *waiters
	pace     *pace.Store
	settings setting.Reader
	kafka    kafka.Config
	secret   config.Secret // for the signatures of callbacks
	log      *slog.Logger
}

func routes(pool *pgxpool.Pool, o *orders.Orders, brokers kafka.Config, erp config.ERP, settings setting.Reader, log *slog.Logger) []httpapi.Route {
	if erp.HMAC == "" {
		log.Warn("ERP_HMAC_SECRET is not set: callbacks of the ERP are refused", "service", "api")
	}
	h := &handler{
		pool: pool, orders: o, waiting: newWaiters(rowsOf(pool)), pace: pace.NewStore(pool), settings: settings, kafka: brokers, secret: erp.HMAC,
		log: log.With("service", "api"),
	}
	command := func(path string, resource httpapi.Resource, kind commandKind) httpapi.Route {
		return httpapi.Route{
			Method: http.MethodPost, Path: httpapi.BasePath + path, Query: []string{sourceParameter, "wait"}, Resource: resource, Handler: h.command(kind),
		}
	}
	return append(h.deadLetterRoutes(), []httpapi.Route{
		h.erpRoute(),
		{
			Method: http.MethodGet, Path: httpapi.BasePath + "/sync-status/{id}", Query: []string{sourceParameter}, Resource: httpapi.ResourceViewStatus,
			Handler: http.HandlerFunc(h.syncStatus),
		},
		{
			Method: http.MethodGet, Path: httpapi.BasePath + "/timeline/{id}", Query: []string{"cursor", "limit", sourceParameter}, Resource: httpapi.ResourceViewStatus,
			Handler: http.HandlerFunc(h.timeline),
		},
		command("/sync-order", httpapi.ResourceSync, syncCommand),
		command("/resync-order", httpapi.ResourceResync, resyncCommand),
		command("/send-order-now", httpapi.ResourceManage, sendNowCommand),
		command("/cancel-order", httpapi.ResourceManage, cancelCommand),
		command("/settle-order", httpapi.ResourceManage, settleCommand),
		{ // the signature covers only the body, so no parameter could be trusted
			Method: http.MethodPost, Path: httpapi.BasePath + "/webhook", Resource: httpapi.ResourceNone, Handler: http.HandlerFunc(h.webhook),
		},
	}...)
}
