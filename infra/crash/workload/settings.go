package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/erpconnector/erpconnector/shared/run"
)

// SetSetting changes a setting, and repeats the request until it is answered with success. It returns the times of the last
// request and of its answer. Both are zero when ctx ended first.
func (s *Shops) SetSetting(ctx context.Context, setting string, value any) (requested, answered time.Time) {
	body := encode(map[string]any{setting: value, "reason": "the crash harness requests it"})
	for ctx.Err() == nil {
		requested = time.Now().UTC()
		status, _, err := s.call(ctx, http.MethodPut, s.api()+"/settings", body, map[string]string{"If-Match": "*"})
		if err == nil && status == http.StatusOK {
			return requested, time.Now().UTC()
		}
		run.Sleep(ctx, retryInterval)
	}
	return time.Time{}, time.Time{}
}

// AddDestination has alerts told to a webhook. It repeats the request until it is answered with success, or refused.
func (s *Shops) AddDestination(ctx context.Context, address, secret string) error {
	body := encode(map[string]any{"name": "pager", "kind": "webhook", "address": address, "secret": secret})
	for {
		status, answer, err := s.call(ctx, http.MethodPost, s.api()+"/alerts/destinations", body, nil)
		switch {
		case err == nil && status == http.StatusCreated:
			return nil
		case err == nil && status < http.StatusInternalServerError:
			return fmt.Errorf("making a destination of alerts: HTTP %d: %s", status, answer)
		case !run.Sleep(ctx, retryInterval):
			return fmt.Errorf("making a destination of alerts: %w", errors.Join(ctx.Err(), err))
		}
	}
}
