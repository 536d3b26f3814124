package api

import (
	"net/http"

	"github.com/erpconnector/erpconnector/shared/httpapi/jsonbody"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
	"github.com/erpconnector/erpconnector/shared/strictjson"
)

// readBody reads a body of at most so many bytes; ok is false when it has answered with a problem.
func readBody(w http.ResponseWriter, r *http.Request, maxBytes int64) (raw []byte, ok bool) {
	return jsonbody.Read(w, r, maxBytes)
}

// bodyFormat is what a body must look like. An example in the error message saves the reader a look into the documentation.
type bodyFormat struct {
	shape   *strictjson.Shape
	example string // a body that is taken, for the error message
	refused string // the problem's code for a body with errors
}

func (f bodyFormat) format() jsonbody.Format {
	return jsonbody.Format{Shape: f.shape, Example: f.example, Refused: f.refused}
}

// decode reads a body strictly; ok is false when it has answered with a problem.
func (f bodyFormat) decode(w http.ResponseWriter, raw []byte, v any) (ok bool) {
	return f.format().Decode(w, raw, v)
}

// refuse answers with everything that is wrong with a body.
func (f bodyFormat) refuse(w http.ResponseWriter, wrong []problem.FieldError) {
	f.format().Refuse(w, wrong)
}
