package setting

import (
	"net/url"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi/problem"
)

// doubledPath refuses a base URL that is the address of orders already: it would be called as /orders/sync/orders/sync.
func (s Settings) doubledPath() Problems {
	u, err := url.Parse(s.ErpBaseURL)
	if err != nil { // another check reports it
		return nil
	}
	path, address := strings.TrimRight(u.EscapedPath(), "/"), strings.TrimRight(s.ErpBaseURL, "/")
	end := len(path) - len(domain.SyncPath)
	if end < 0 || !strings.EqualFold(path[end:], domain.SyncPath) {
		return nil
	}
	right := hidePassword(address[:len(address)-len(domain.SyncPath)])
	return Problems{{
		Name: NameErpBaseURL, Variable: "ERP_BASE_URL", Code: problem.CodeInvalid,
		Said: "is " + hidePassword(s.ErpBaseURL) + "; it must be the address without " + domain.SyncPath + ", which is added to it: " + right,
	}}
}
