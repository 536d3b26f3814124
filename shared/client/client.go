// Package client calls the connector's HTTP API. api.gen.go is made from the OpenAPI description; this file signs requests in and makes
// errors of problems.
//
//	c, err := client.New("http://localhost:8080", token)
//	page, err := c.ListSyncsWithResponse(ctx, &client.ListSyncsParams{Status: new("failed")})
//	for _, s := range page.JSON200.Syncs { … }
//
// Each operation has a method, by its operationId. Its answer has one field for each status: JSON200, JSON202, …
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// ProblemError is an answer that is a problem: nothing was done, or it says what was. Its Code is stable: docs/errors.md lists them.
type ProblemError struct {
	Problem

	RetryAfter string // of the header; empty: it says nothing
}

// Error is the problem in one line.
func (e *ProblemError) Error() string { return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Detail) }

// maxProblem is how many bytes of a problem are read.
const maxProblem = 64 << 20

// Client has a method for each operation, and Publish.
type Client struct{ *ClientWithResponses }

// New makes a client of the connector at base, with a token that holds what its calls need. Calls return a *ProblemError for an answer
// that is one. Options change it further, like WithHTTPClient; that one loses the *ProblemError.
func New(base, token string, options ...ClientOption) (Client, error) {
	own := []ClientOption{
		WithHTTPClient(problems{http.DefaultClient}),
		WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}),
	}
	c, err := NewClientWithResponses(strings.TrimSuffix(base, "/"), append(own, options...)...)
	return Client{c}, err
}

// WithTransport lets requests take another way than the network's default, and keeps the *ProblemError.
func WithTransport(way http.RoundTripper) ClientOption {
	return WithHTTPClient(problems{&http.Client{Transport: way}})
}

// Publish sends one event: an Event, or any value that is one in JSON. A refused one is a *ProblemError; 503 may be sent again.
func (c Client) Publish(ctx context.Context, event any) (SingleResult, error) {
	body, err := json.Marshal(event)
	if err != nil {
		return SingleResult{}, fmt.Errorf("the event: %w", err)
	}
	answer, err := c.PublishEventsWithBodyWithResponse(ctx, nil, "application/json", bytes.NewReader(body))
	switch {
	case err != nil:
		return SingleResult{}, err
	case answer.JSON202 != nil:
		return *answer.JSON202, nil
	case answer.JSON200 != nil:
		return answer.JSON200.AsSingleResult()
	default:
		return SingleResult{}, fmt.Errorf("the connector answered %s", answer.Status())
	}
}

// problems makes errors of answers that are problems.
type problems struct{ next HttpRequestDoer }

func (p problems) Do(r *http.Request) (*http.Response, error) {
	answer, err := p.next.Do(r)
	if err != nil || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/problem+json") {
		return answer, err
	}
	defer func() { _ = answer.Body.Close() }()
	found := &ProblemError{RetryAfter: answer.Header.Get("Retry-After")}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxProblem)).Decode(&found.Problem); err != nil {
		return nil, fmt.Errorf("reading the problem of a %s: %w", answer.Status, err)
	}
	return nil, found
}
