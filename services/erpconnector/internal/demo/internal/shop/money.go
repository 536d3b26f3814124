package shop

import (
	"fmt"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// money is an amount in the smallest unit of its currency, so that sums are exact.
type money int64

// share is that many ten-thousandths of m, rounded half up. m is not negative.
func (m money) share(perTenThousand money) money { return (m*perTenThousand + 5_000) / 10_000 }

// in is the local price of what costs m euro cents.
func (m money) in(c currency) money { return (m*c.perEuro + 50) / 100 }

// currency has the fraction digits of ISO 4217 and a rate that is about right.
type currency struct {
	code    string
	digits  int
	perEuro money // smallest units
}

// amount writes m out: 12.30, 1230 or 12.300.
func (c currency) amount(m money) domain.Amount {
	sign, scale := "", money(1)
	for range c.digits {
		scale *= 10
	}
	if m < 0 {
		sign, m = "-", -m
	}
	text := fmt.Sprintf("%s%d", sign, m/scale)
	if c.digits > 0 {
		text += fmt.Sprintf(".%0*d", c.digits, m%scale)
	}
	return decimal(text)
}

// decimal is an amount of this package's own writing, which is one in every case.
func decimal(text string) domain.Amount {
	a, err := domain.ParseAmount(text)
	if err != nil {
		panic(err)
	}
	return a
}
