package api

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
)

// A command's conflicts are described as the table of the domain has them: none is missing, and none too much.
func TestTheConflictsOfCommandsAreDescribed(t *testing.T) {
	t.Parallel()
	for path, requests := range map[string][]domain.Request{
		"/sync-order": {domain.RequestSync}, "/resync-order": {domain.RequestResync, domain.RequestAnew}, "/send-order-now": {domain.RequestSendNow},
		"/cancel-order": {domain.RequestCancel}, "/settle-order": {domain.RequestSettle},
	} {
		var want, got []string
		for _, state := range domain.OrderStates {
			if slices.ContainsFunc(requests, func(r domain.Request) bool { return domain.ActionFor(r, state) == domain.RefuseConflict }) {
				want = append(want, "409 order_"+string(state))
			}
		}
		for _, p := range Descriptions["POST "+httpapi.BasePath+path].Problems {
			if strings.HasPrefix(p, "409 ") {
				got = append(got, p)
			}
		}
		require.ElementsMatch(t, want, got, path)
	}
}
