package setting

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/domain"
)

func TestWhatTheRulesOfThePaceTakeOfTheSettings(t *testing.T) {
	t.Parallel()
	breaker := domain.DefaultBreakerPolicy()
	breaker.ProbeLimit = 40 * time.Second // a call of 30 s has ended by then
	require.Equal(t, breaker, Defaults().BreakerPolicy(), "the defaults of both are the same")
	require.Equal(t, []any{domain.DefaultLimitPolicy(64), domain.Rate(0), domain.Calendar{}},
		[]any{Defaults().LimitPolicy(), Defaults().CallRate(), Defaults().Calendar()})

	s := Defaults()
	s.Breaker, s.BreakerRate, s.BreakerCalls, s.BreakerOrders, s.HealthPath = false, 0.25, 20, 6, ""
	p := s.BreakerPolicy()
	require.Equal(t, []any{false, 0.25, 20, 6, false}, []any{p.On, p.FailureRate, p.MinCalls, p.MinOrders, p.HasHealth})

	s.BreakerStatuses, s.BreakerExceptions = []int{401}, []domain.BookedAnswer{{Status: 500, Code: "NO_SKU"}}
	s.AlreadyBooked = []domain.BookedAnswer{{Status: 409}}
	require.Equal(t, domain.HealthPolicy{FailingStatuses: []int{401}, OrderAnswers: s.BreakerExceptions, AlreadyBooked: s.AlreadyBooked}, s.HealthPolicy())
}

// After a change of the ERP's key, orders ended as failed at their first attempt, and each needed a resync by hand.
func TestAStatusOfTheERPsStateIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := Defaults()
	s.RetryableCodes, s.BreakerStatuses = []int{423}, []int{401}
	p := s.RetryPolicy()
	for status, want := range map[int]domain.OutcomeKind{
		401: domain.OutcomeRetryable, 423: domain.OutcomeRetryable, 403: domain.OutcomeFinal,
	} {
		require.Equal(t, want, domain.Classify(domain.Answer{StatusCode: status}, p.AnswerPolicy, false, someDay).Kind, status)
	}
	capped := domain.Classify(domain.Answer{StatusCode: 503, RetryAfter: "86401"}, p.AnswerPolicy, false, someDay)
	require.Equal(t, someDay.Add(24*time.Hour), *capped.RetryAfter)
}

func TestTheCalendarOfTheSettings(t *testing.T) {
	t.Parallel()
	s := Defaults()
	f, ok := FieldOf("erp_maintenance")
	require.True(t, ok)
	require.NoError(t, f.Parse(&s, "0 2 * * SUN 4h Europe/Berlin"))
	f, _ = FieldOf("erp_working_hours")
	require.NoError(t, f.Parse(&s, "0 1 * * * 6h Europe/Berlin; 0 20 * * * 1h UTC"))
	sunday := time.Date(2026, 3, 22, 3, 30, 0, 0, time.UTC) // 04:30 in Berlin
	until, shut := s.Calendar().Until(sunday)
	require.True(t, shut)
	require.Equal(t, time.Date(2026, 3, 22, 5, 0, 0, 0, time.UTC), until.UTC())
	until, shut = s.Calendar().Until(sunday.Add(3 * time.Hour))
	require.True(t, shut)
	require.Equal(t, time.Date(2026, 3, 22, 20, 0, 0, 0, time.UTC), until.UTC())
}
