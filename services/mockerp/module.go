package mockerp

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"go.uber.org/fx"

	"github.com/erpconnector/erpconnector/shared/platform"
	"github.com/erpconnector/erpconnector/shared/platform/platformfx"
)

// Module serves a mock ERP beside the other routes. It is for demonstration: nothing protects its faults and book.
var Module = fx.Module("mockerp", fx.Provide(platformfx.AsRoutes(newRoutes)))

func newRoutes(cfg platform.Config, log *slog.Logger) []platform.Route {
	return Routes(New(Options{APIKey: cfg.ErpAPIKey.Reveal(), Secret: cfg.ErpHMAC.Reveal(), Log: log.With("service", "mockerp")}))
}

// Routes are the ERP's own paths, as in the module, and those that show and steer it, below /mockerp.
func Routes(e *ERP) []platform.Route {
	public := func(method, path string, h http.HandlerFunc) platform.Route {
		return platform.Route{Method: method, Path: path, Resource: platform.ResourceNone, Handler: h}
	}
	return []platform.Route{
		public(http.MethodPost, platform.BasePath+"/orders/sync", e.ServeHTTP),
		public(http.MethodPost, platform.BasePath+"/mock-update-stock", e.updateStock),
		public(http.MethodGet, platform.BasePath+"/health", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, http.StatusOK, map[string]string{"status": "ok"})
		}),
		public(http.MethodGet, "/mockerp/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, e.Stats()) }),
		public(http.MethodGet, "/mockerp/calls", func(w http.ResponseWriter, r *http.Request) {
			answer(w, http.StatusOK, e.Calls(r.URL.Query().Get("order")))
		}),
		public(http.MethodPost, "/mockerp/faults", e.postFaults),
		public(http.MethodDelete, "/mockerp/faults", func(w http.ResponseWriter, r *http.Request) {
			answer(w, http.StatusOK, map[string]int{"faults": e.Forgive(r.URL.Query().Get("label"))})
		}),
		public(http.MethodDelete, "/mockerp", func(w http.ResponseWriter, _ *http.Request) {
			e.Reset()
			w.WriteHeader(http.StatusNoContent)
		}),
	}
}

// postFaults adds all of the faults or, when one cannot be played, none.
func (e *ERP) postFaults(w http.ResponseWriter, r *http.Request) {
	var faults []Fault
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	dec.DisallowUnknownFields()
	err := dec.Decode(&faults)
	for _, f := range faults {
		err = errors.Join(err, f.validate())
	}
	if err != nil {
		answer(w, http.StatusBadRequest, errorBody("FAULTS", "send a JSON array of faults: "+err.Error()))
		return
	}
	e.Fail(faults...)
	answer(w, http.StatusOK, map[string]int{"faults": len(faults)})
}
