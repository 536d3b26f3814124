package api

import (
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// identity is whose token a request has.
type identity struct {
	Name      string             `json:"name"`
	Resources []httpapi.Resource `json:"resources"`  // all that it holds, also by others
	Source    *string            `json:"source"`     // null: all shops
	ExpiresAt *string            `json:"expires_at"` // null: never
}

func meRoute() httpapi.Route {
	return httpapi.Route{
		Method: http.MethodGet, Path: httpapi.BasePath + "/me", Resource: httpapi.ResourceAny, BySource: true, Handler: http.HandlerFunc(me),
	}
}

// me answers what the token of the request may do. So a program can say at its start what it lacks.
func me(w http.ResponseWriter, r *http.Request) {
	id := httpapi.IdentityOf(r.Context())
	out := identity{Name: id.Name, Resources: id.Held()}
	if id.Source != "" {
		out.Source = &id.Source
	}
	if id.ExpiresAt != nil {
		out.ExpiresAt = new(id.ExpiresAt.UTC().Format(time.RFC3339))
	}
	w.Header().Set("Cache-Control", "no-store")
	problem.JSON(w, http.StatusOK, out)
}
