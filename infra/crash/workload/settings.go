package workload

import (
	"context"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// SetSetting changes a setting, as an operator does who asks again until he is answered. It returns when he asked last and when
// that was answered; both are zero when ctx ended first.
func (s *Shops) SetSetting(ctx context.Context, setting string, on bool) (asked, answered time.Time) {
	body := encode(map[string]any{setting: on, "reason": "the crash harness asks"})
	for ctx.Err() == nil {
		asked = time.Now().UTC()
		status, _, err := s.call(ctx, http.MethodPut, s.api()+"/settings", body, map[string]string{"If-Match": "*"})
		if err == nil && status == http.StatusOK {
			return asked, time.Now().UTC()
		}
		run.Sleep(ctx, retryInterval)
	}
	return time.Time{}, time.Time{}
}
