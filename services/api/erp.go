package api

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// historyShown is how many changes of the breaker are shown, the newest first.
const historyShown = 50

func (h *handler) erpRoute() httpapi.Route {
	return httpapi.Route{Method: http.MethodGet, Path: httpapi.BasePath + "/erp", Resource: httpapi.ResourceViewStatus, Handler: http.HandlerFunc(h.erp)}
}

// erp answers whether calls go out to the ERP, how many, and what has changed lately.
func (h *handler) erp(w http.ResponseWriter, r *http.Request) {
	report, err := h.pace.Report(r.Context(), h.settings.Current(), historyShown)
	if err != nil {
		httpapi.Failed(w, r, h.log, "the ERP's pace not read", err, problem.Problem{
			Code: "database_unavailable", Detail: "the database does not answer; ask again",
		})
		return
	}
	problem.JSON(w, http.StatusOK, report)
}
