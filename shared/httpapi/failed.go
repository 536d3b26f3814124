package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// retryAfter is in seconds.
const retryAfter = "5"

// noRight is Postgres' insufficient_privilege.
const noRight = "42501"

// Failed answers a request with 503 and the problem, and logs msg with the keys and the error. A caller that has gone has broken the
// work off by that: it is no error of ours.
func Failed(w http.ResponseWriter, r *http.Request, log *slog.Logger, msg string, err error, p problem.Problem, keys ...any) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		log.Info("caller gone before its answer", append(keys, "what", msg)...)
	} else {
		log.Error(msg, append(keys, "error", err)...) //nolint:sloglint // a literal of the caller
	}
	if refused := new(pgconn.PgError); errors.As(err, &refused) && refused.Code == noRight {
		p.Detail = "the database refuses this to the connector's user (" + refused.Message + "); grant what docs/deploy.md lists"
	}
	w.Header().Set("Retry-After", retryAfter)
	p.Status = http.StatusServiceUnavailable
	problem.Write(w, p)
}
