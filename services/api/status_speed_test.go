//go:build speed

package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/testkit"
)

// BenchmarkStatus prints what the status of an order costs within the process, without the server around the handler.
//
//	go test -tags speed -run '^$' -bench BenchmarkStatus -benchmem ./services/api
func BenchmarkStatus(b *testing.B) {
	pool := testkit.Postgres(b).Pool
	_, err := pool.Exec(b.Context(), manyOrders)
	require.NoError(b, err)
	asked := serve(b, pool)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		answer := httptest.NewRecorder()
		asked.ServeHTTP(answer, httptest.NewRequestWithContext(b.Context(), http.MethodGet, fmt.Sprint("/rest/V1/erpconnector/sync-status/", 1+n%8000/3*3), nil))
		require.Equal(b, http.StatusOK, answer.Code)
	}
}
