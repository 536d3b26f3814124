package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// readBody reads a body of at most so many bytes; ok is false when it has answered with a problem.
func readBody(w http.ResponseWriter, r *http.Request, maxBytes int64) (raw []byte, ok bool) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		problem.Write(w, problem.Problem{
			Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("nothing was done: the body is larger than %d bytes", maxBytes),
		})
	case errors.Is(err, httpapi.ErrOverloaded):
		problem.Write(w, httpapi.Overload)
	case err != nil:
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "body_incomplete", Detail: "nothing was done: the body ended early; send it again",
		})
	default:
		return raw, true
	}
	return nil, false
}

// bodyFormat is what a body must look like. An example in the error message saves the reader a look into the documentation.
type bodyFormat struct {
	shape   *strictjson.Shape
	example string // a body that is taken, for the error message
	refused string // the problem's code for a body with errors
}

// decode reads a body strictly; ok is false when it has answered with a problem.
func (f bodyFormat) decode(w http.ResponseWriter, raw []byte, v any) (ok bool) {
	wrong := strictjson.Read(raw, v, f.shape)
	switch {
	case len(wrong) == 0:
		return true
	case wrong[0].Pointer == "": // the body as a whole
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "not_json", Errors: wrong,
			Detail: fmt.Sprintf("nothing was done: the body %s. Send JSON like %s", wrong[0].Detail, f.example),
		})
	default:
		f.refuse(w, wrong)
	}
	return false
}

// refuse answers with everything that is wrong with a body.
func (f bodyFormat) refuse(w http.ResponseWriter, wrong []problem.FieldError) {
	problem.Write(w, problem.Problem{
		Status: http.StatusUnprocessableEntity, Code: f.refused, Errors: wrong, Detail: "nothing was done; correct what errors lists",
	})
}
