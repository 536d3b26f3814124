package httpapi

import (
	"context"
	"net/http"
	"strings"
)

// Resource is an ACL resource of the module that a token must hold to use a route.
type Resource string

// The ACL resources: the module's, one for publishers, and one for changing where orders go.
const (
	ResourceConfig     Resource = "Escooter_ErpConnector::config"
	ResourceManage     Resource = "Escooter_ErpConnector::manage"
	ResourceSync       Resource = "Escooter_ErpConnector::sync"
	ResourceResync     Resource = "Escooter_ErpConnector::resync"
	ResourceViewStatus Resource = "Escooter_ErpConnector::view_status"
	ResourcePublish    Resource = "Escooter_ErpConnector::publish"
	// ResourceErpAddress adds to ResourceConfig: with it the setting erp_base_url may be changed too.
	ResourceErpAddress Resource = "Escooter_ErpConnector::erp_address"
	// ResourceTokens lets a token make, list and revoke tokens.
	ResourceTokens Resource = "Escooter_ErpConnector::tokens"
	// ResourceNone marks a route without a token: the mock ERP, the webhook (its signature is checked), probes.
	ResourceNone Resource = ""
)

// ResourceAny marks a route for any token in force, whatever it holds. No token holds it, so the API's description does not list it among
// the resources.
const ResourceAny = Resource("any")

// Resources are all that a token may hold.
var Resources = []Resource{
	ResourceConfig, ResourceErpAddress, ResourceManage, ResourcePublish, ResourceResync, ResourceSync, ResourceTokens, ResourceViewStatus,
}

// ResourcePrefix begins the name of each resource; people may leave it out.
const ResourcePrefix = "Escooter_ErpConnector::"

// ResourceOf is the resource of a name with or without its prefix. There may be none of that name.
func ResourceOf(name string) Resource {
	return Resource(ResourcePrefix + strings.TrimPrefix(name, ResourcePrefix))
}

// ShortName is the resource's name without its prefix.
func (r Resource) ShortName() string { return strings.TrimPrefix(string(r), ResourcePrefix) }

// ShortNames are those of all resources.
func ShortNames() []string {
	names := make([]string, len(Resources))
	for i, r := range Resources {
		names[i] = r.ShortName()
	}
	return names
}

// needed says what a token must be to use a route of the resource.
func (r Resource) needed() string {
	if r == ResourceAny {
		return "is in force"
	}
	return "holds " + string(r)
}

// implied are what a resource holds beside itself, as in the module.
var implied = map[Resource][]Resource{ResourceManage: {ResourceSync, ResourceResync, ResourceViewStatus}}

// BasePath is the prefix of the module's REST paths.
const BasePath = "/rest/V1/erpconnector"

// Route is one HTTP route of a service. Path is a gorilla/mux pattern below the server's root. Who may GET may ask for the
// HEAD too.
type Route struct {
	Method   string
	Path     string
	Query    []string // the parameters that it takes; others are refused (see CheckQuery)
	Nested   []string // of these, those that may have members: searchCriteria takes searchCriteria[pageSize] too. The handler checks these
	AnyQuery bool     // it takes all parameters: who sends people here may add what we do not know (RFC 6749, section 4.1.2)
	Resource Resource
	// BySource: the handler heeds the shop that a token is bound to (BoundSource). Such tokens cannot use other routes.
	BySource bool
	Handler  http.Handler
}

// Probe checks readiness: Check returns nil when the service can do its work now. It is called every few seconds.
type Probe struct {
	Name   string
	Check  func(ctx context.Context) error
	Detail func(ctx context.Context) string // what else an operator should know, though the service is ready; nil or empty: nothing
}
