package api

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gorilla/mux"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// sourceParameter is the name of the shop in a query.
const sourceParameter = "source"

// sourceOf is the shop that a request names in its query or its body. When it names none, it is the shop that the token is for, or the
// default shop. When both name one, they must agree. body is nil when the body names none.
func sourceOf(r *http.Request, body *string) (source string, wrong []problem.FieldError) {
	source = cmp.Or(httpapi.BoundSource(r.Context()), domain.DefaultSource)
	inQuery, named := r.URL.Query()[sourceParameter]
	if named {
		source = inQuery[0]
		if err := checkSource(source); err != nil {
			wrong = append(wrong, problem.FieldError{Parameter: sourceParameter, Code: problem.CodeInvalid, Detail: err.Error()})
		}
	}
	if body == nil {
		return source, wrong
	}
	if err := checkSource(*body); err != nil {
		wrong = append(wrong, problem.FieldError{Pointer: "/source", Code: problem.CodeInvalid, Detail: err.Error()})
	}
	if named && *body != source && len(wrong) == 0 {
		wrong = append(wrong, problem.FieldError{
			Pointer: "/source", Code: problem.CodeContradicts,
			Detail: fmt.Sprintf("is %.70q, and the %s: name one shop", *body, namedBy(r, source)),
		})
	}
	return *body, wrong
}

// namedBy says where a request names a shop outside its body.
func namedBy(r *http.Request, source string) string {
	if httpapi.PathSource(r.Context()) != "" {
		return "path names the shop " + source
	}
	return fmt.Sprintf("query says source=%.70s", source)
}

// checkSource refuses an empty text, unlike in an event: it is more likely an unfilled template than the default shop.
func checkSource(source string) error {
	if source == "" {
		return errors.New("is empty; leave it out for the shop " + domain.DefaultSource)
	}
	return domain.ValidateKnownSource(source)
}

// orderOf is the order that the path and the query name; ok is false when it has answered with a problem.
func orderOf(w http.ResponseWriter, r *http.Request) (ref domain.OrderRef, ok bool) {
	source, wrong := sourceOf(r, nil)
	if len(wrong) > 0 {
		httpapi.RefuseQuery(w, wrong)
		return ref, false
	}
	id, err := url.PathUnescape(mux.Vars(r)["id"]) // the router matches the encoded path, so that an id may have a slash
	ref = domain.OrderRef{Source: source, IncrementID: id}
	if err = errors.Join(err, ref.Validate()); err != nil {
		problem.Write(w, problem.Problem{Status: http.StatusBadRequest, Code: "order_invalid", Detail: err.Error()})
		return ref, false
	}
	return ref, mayTouch(w, r, source)
}

// mayTouch reports whether the token of a request may see and change orders of a shop; when not, it has answered with a problem.
func mayTouch(w http.ResponseWriter, r *http.Request, source string) bool {
	bound := httpapi.BoundSource(r.Context())
	if bound == "" || bound == source {
		return true
	}
	problem.Write(w, problem.Problem{
		Status: http.StatusForbidden, Code: "forbidden", Source: source,
		Detail: fmt.Sprintf("nothing was done: the token %q is for the shop %s only", httpapi.Requester(r.Context()), bound),
	})
	return false
}
