package mockerp

import (
	"errors"
	"io"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// readBody reads a body; ok is false when it has answered.
func readBody(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case errors.Is(err, httpapi.ErrOverloaded):
		problem.Write(w, httpapi.Overload)
	case err != nil:
		answer(w, http.StatusBadRequest, errorBody("BODY", err.Error()))
	}
	return body, err == nil
}
