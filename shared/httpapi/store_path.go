package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// Store codes that mean no shop of theirs: Magento's for all shops, and the first part of its asynchronous API, which there is none of.
const (
	allStores = "all"
	async     = "async"
)

// storePath is a path of Magento that names a store: /rest/{store}/V1/…
var storePath = regexp.MustCompile(`^/rest/([^/]+)(/V1/.*)$`)

// storeParts are the store code and the rest of a path that names a store; nil: it names none, as most.
func storeParts(u *url.URL) []string {
	if u.RawPath == "" && strings.HasPrefix(u.Path, BasePath+"/") {
		return nil
	}
	return storePath.FindStringSubmatch(u.EscapedPath())
}

// storePaths serves /rest/{store}/V1/… as /rest/V1/… of one shop: the source that stores has for the store code, else the source of the same
// name. Routes know nothing of it. A store code that can be no source is answered with 404.
func storePaths(next http.Handler, stores map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := storeParts(r.URL)
		if parts == nil {
			next.ServeHTTP(w, r)
			return
		}
		source, err := sourceOfStore(parts[1], stores)
		if err != nil {
			problem.Write(w, problem.Problem{Status: http.StatusNotFound, Code: "not_found", Detail: "there is nothing at " + shownPath(r) + ": " + err.Error()})
			return
		}
		visitOf(r.Context()).pathSource = source
		next.ServeHTTP(w, withPath(r, "/rest"+parts[2]))
	})
}

// sourceOfStore is the shop of a store code; empty: all shops.
func sourceOfStore(code string, stores map[string]string) (string, error) {
	if source, ok := stores[code]; ok {
		return source, nil
	}
	switch {
	case code == allStores:
		return "", nil
	case code == async || domain.ValidateSource(code) != nil:
		return "", fmt.Errorf("the store code %.70q is no source; STORE_SOURCES can name the source of it", code)
	default:
		return code, nil
	}
}

// withPath is the request with another path, which is encoded. A path that cannot be read stays as it is.
func withPath(r *http.Request, path string) *http.Request {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return r
	}
	u := *r.URL
	u.Path, u.RawPath = plain, path
	r = r.Clone(r.Context())
	r.URL = &u
	return r
}

// PathSource is the shop that the request's path names by its store code; empty: none. Only that shop's orders are meant then: to handlers
// of routes with BySource it is as if the token were bound to it (BoundSource), and a route that takes the parameter source is asked with it.
func PathSource(ctx context.Context) string {
	if v := visitOf(ctx); v != nil {
		return v.pathSource
	}
	return ""
}

// atPathSource is the request with the shop of its path as the parameter source, where the route takes one. It refuses another shop.
func atPathSource(r *http.Request, values url.Values, known []string) (*http.Request, []problem.FieldError) {
	const name = "source"
	source := PathSource(r.Context())
	if source == "" || !slices.Contains(known, name) {
		return r, nil
	}
	if values.Has(name) && values.Get(name) != source {
		return r, []problem.FieldError{{
			Parameter: name, Code: problem.CodeContradicts, Detail: fmt.Sprintf("is %.70q, and the path names the shop %s: name one shop", values.Get(name), source),
		}}
	}
	values.Set(name, source)
	u := *r.URL
	u.RawQuery = values.Encode()
	r = r.Clone(r.Context())
	r.URL = &u
	return r, nil
}
