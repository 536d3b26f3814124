// Package problem writes errors as RFC 9457 problem details that also carry the module's success and message.
package problem

import (
	"encoding/json"
	"net/http"
)

// Problem is one error answer.
type Problem struct {
	Status  int          // HTTP status
	Code    string       // stable, for programs
	Detail  string       // what to do about it
	Message string       // the module's message, when it differs from Detail
	Errors  []FieldError // what is wrong with the request, and where
	Results any          // what became of each part of the request, in their order
	Current any          // what there is now, for a caller who knows an older state

	OrderIncrementID, Source string // the order that it is about, if it is about one
}

type body struct {
	Type    string       `json:"type"`
	Title   string       `json:"title"`
	Status  int          `json:"status"`
	Code    string       `json:"code"`
	Detail  string       `json:"detail"`
	Success bool         `json:"success"`
	Message string       `json:"message"`
	Errors  []FieldError `json:"errors,omitempty"`
	Results any          `json:"results,omitempty"`
	Current any          `json:"current,omitempty"`

	OrderIncrementID string `json:"order_increment_id,omitempty"`
	Source           string `json:"source,omitempty"`
}

// Write answers with the problem.
func Write(w http.ResponseWriter, p Problem) {
	if p.Message == "" {
		p.Message = p.Detail
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body{ // an error here means that the client has left
		Type: "about:blank", Title: http.StatusText(p.Status), Status: p.Status, Code: p.Code,
		Detail: p.Detail, Message: p.Message, Errors: p.Errors, Results: p.Results, Current: p.Current, OrderIncrementID: p.OrderIncrementID, Source: p.Source,
	})
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, status int, v any) { JSONAs(w, "application/json", status, v) }

// JSONAs answers with a value, whose JSON has a type of its own.
func JSONAs(w http.ResponseWriter, contentType string, status int, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
