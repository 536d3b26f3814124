package mockerp

import (
	"log/slog"
	"net/http"
	"strconv"

	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
	"github.com/erpconnector/erpconnector/shared/wiring"
)

// Module serves a mock ERP beside the other routes. It is for demonstration: nothing protects its faults and book.
var Module = fx.Module("mockerp", fx.Provide(wiring.AsRoutes(newRoutes)))

// newRoutes makes an ERP that knows the connector's own key and secret, so `up` needs no settings for it.
func newRoutes(erp config.ERP, log *slog.Logger) []httpapi.Route {
	return Routes(New(Options{APIKey: erp.APIKey.Reveal(), Secret: erp.HMAC.Reveal(), Log: log.With("service", "mockerp")}))
}

// Routes are the ERP's own paths, as in the module, and those that show and steer it, below /mockerp.
func Routes(e *ERP) []httpapi.Route {
	public := func(method, path string, h http.HandlerFunc, query ...string) httpapi.Route {
		return httpapi.Route{Method: method, Path: path, Query: query, Resource: httpapi.ResourceNone, Handler: h}
	}
	return []httpapi.Route{
		public(http.MethodPost, httpapi.BasePath+"/orders/sync", e.ServeHTTP),
		public(http.MethodGet, httpapi.BasePath+"/orders", e.lookUp, "idempotency_key", "order_increment_id", "source"),
		public(http.MethodPost, httpapi.BasePath+"/mock-update-stock", e.updateStock),
		public(http.MethodGet, httpapi.BasePath+"/health", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]string{"status": "ok"})
		}),
		public(http.MethodGet, "/mockerp/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, e.Stats()) }),
		public(http.MethodGet, "/mockerp/calls", func(w http.ResponseWriter, r *http.Request) {
			answer(w, http.StatusOK, e.Calls(r.URL.Query().Get("order")))
		}, "order"),
		public(http.MethodPost, "/mockerp/faults", e.postFaults),
		public(http.MethodDelete, "/mockerp/faults", e.deleteFaults, "label"),
		public(http.MethodDelete, "/mockerp", func(w http.ResponseWriter, _ *http.Request) {
			e.Reset()
			w.WriteHeader(http.StatusNoContent)
		}),
	}
}

// faultsShape takes no unknown members: a misspelt "reset_after" would be a fault that does nothing, and a test that proves nothing.
var faultsShape = strictjson.ShapeOf[[]Fault]().Closed()

// postFaults adds all of the faults or, when one cannot be played, none.
func (e *ERP) postFaults(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var faults []Fault
	wrong := strictjson.Read(body, &faults, faultsShape)
	for i, f := range faults {
		wrong = append(wrong, f.check("/"+strconv.Itoa(i))...)
	}
	if len(wrong) > 0 {
		answer(w, http.StatusBadRequest, errorBody("FAULTS", "send a JSON array of faults: "+inWords("the body ", wrong)))
		return
	}
	e.Fail(faults...)
	answer(w, http.StatusOK, map[string]int{"faults": len(faults)})
}

// deleteFaults takes back all of them or, with a label, those that have it. A label that is empty is none: whoever has left
// it out by mistake would take back everybody's.
func (e *ERP) deleteFaults(w http.ResponseWriter, r *http.Request) {
	label := r.URL.Query().Get("label")
	if r.URL.Query().Has("label") && label == "" {
		httpapi.RefuseQuery(w, []problem.FieldError{{Parameter: "label", Code: problem.CodeInvalid, Detail: "is empty; leave it out to take back all faults"}})
		return
	}
	answer(w, http.StatusOK, map[string]int{"faults": e.Forgive(label)})
}
