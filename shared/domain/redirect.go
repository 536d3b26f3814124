package domain

import (
	"fmt"
	"net/url"
	"strings"
)

// SyncPath is the path below the ERP's base URL that orders are sent to.
const SyncPath = "/orders/sync"

// redirects reports whether the answer sends the caller elsewhere.
func (a Answer) redirects() bool {
	return a.StatusCode >= 300 && a.StatusCode <= 399 && a.Location != ""
}

// redirectText names the target of a redirect, and the mistake that it is likely to come from. Redirects are never followed: nobody
// has said that the other address is the ERP.
func (a Answer) redirectText() string {
	head := fmt.Sprintf("HTTP %d redirects to %s, and redirects are not followed", a.StatusCode, Truncate(a.Location, maxShownURL))
	to, err := url.Parse(a.Location)
	from, fromErr := url.Parse(a.Target)
	if err != nil || fromErr != nil || a.Location == UnreadableLocation {
		return head + ": check erp_base_url"
	}
	return head + ": " + likelyMistake(from, to)
}

// UnreadableLocation stands for a Location that is no address.
const UnreadableLocation = "an address that cannot be read"

const maxShownURL = 500

// likelyMistake guesses from the two addresses what is wrong in the settings.
func likelyMistake(from, to *url.URL) string {
	bare := *to
	var isSlashed bool
	bare.Path, isSlashed = strings.CutSuffix(to.Path, "/")
	base, isSync := strings.CutSuffix(bare.String(), SyncPath)
	isSame := *from == bare
	switch {
	case from.Scheme == "https" && to.Scheme == "http":
		return "it leads from https to http, which nobody should follow; have the ERP, or the proxy before it, take orders at " + from.String()
	case isSame && isSlashed:
		return "the ERP takes the address only with a slash at its end, and no setting adds one; have it take " + SyncPath
	case isSame:
		return "that is the address that was called; the ERP may ask for a login or a cookie: check ERP_API_KEY"
	case !isSync:
		return "that is no address of orders, but a login page perhaps; check erp_base_url and ERP_API_KEY"
	case from.Scheme == "http" && to.Scheme == "https" && from.Hostname() == to.Hostname() && from.Path == to.Path:
		return "erp_base_url says http and the ERP wants https; set it to " + base
	default:
		return "if that is the ERP, set erp_base_url to " + base
	}
}
