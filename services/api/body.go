package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// readBody reads a body of at most so many bytes; ok is false when the answer has been given.
func readBody(w http.ResponseWriter, r *http.Request, most int64) (raw []byte, ok bool) {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		problem.Write(w, problem.Problem{
			Status: http.StatusRequestEntityTooLarge, Code: "too_large", Detail: fmt.Sprintf("nothing was done: the body is larger than %d bytes", most),
		})
	case err != nil:
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "body_incomplete", Detail: "nothing was done: the body ended early; send it again",
		})
	default:
		return raw, true
	}
	return nil, false
}

// door is what a body is read by.
type door struct {
	shape   *strictjson.Shape
	example string // of a body that is taken
	refused string // the code of a body in which something is wrong
}

// decode reads a body strictly; ok is false when the answer has been given.
func (d door) decode(w http.ResponseWriter, raw []byte, v any) (ok bool) {
	wrong := strictjson.Read(raw, v, d.shape)
	switch {
	case len(wrong) == 0:
		return true
	case wrong[0].Pointer == "": // the body as a whole
		problem.Write(w, problem.Problem{
			Status: http.StatusBadRequest, Code: "not_json", Errors: wrong,
			Detail: fmt.Sprintf("nothing was done: the body %s. Send JSON like %s", wrong[0].Detail, d.example),
		})
	default:
		d.refuse(w, wrong)
	}
	return false
}

// refuse tells of everything that is wrong with a body.
func (d door) refuse(w http.ResponseWriter, wrong []problem.FieldError) {
	problem.Write(w, problem.Problem{
		Status: http.StatusUnprocessableEntity, Code: d.refused, Errors: wrong, Detail: "nothing was done; correct what errors lists",
	})
}
