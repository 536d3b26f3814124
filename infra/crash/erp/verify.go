package erp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sign returns X-Signature: base64 of HMAC-SHA256 over the body.
func Sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = mac.Write(body)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// maxClockSkew is how far a signed time may differ. Both clocks are of one machine, but a stopped process sends late.
const maxClockSkew = time.Minute

// verify returns what is wrong with a call; empty: nothing.
func verify(h http.Header, body []byte, cfg Config, now time.Time) string {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	standard := "v1," + Sign(cfg.Secret, []byte(id+"."+at+"."+string(body)))
	switch {
	case h.Get("X-Api-Key") != cfg.APIKey:
		return "X-API-KEY is missing or wrong"
	case h.Get("Content-Type") != "application/json":
		return "Content-Type is " + h.Get("Content-Type")
	case h.Get("X-Idempotency-Key") == "":
		return "X-Idempotency-Key is missing"
	case h.Get("X-Signature") != Sign(cfg.Secret, body):
		return "X-Signature is missing or wrong"
	case id == "" || strings.Contains(id, "."):
		return fmt.Sprintf("Webhook-Id is %q", id)
	case err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > maxClockSkew:
		return fmt.Sprintf("Webhook-Timestamp is %q, it is %d", at, now.Unix())
	case h.Get("Webhook-Signature") != standard:
		return "Webhook-Signature is missing or wrong"
	}
	return verifyBody(body)
}

// sent is what an order must contain.
type sent struct {
	Order  string           `json:"order_increment_id"`
	Email  string           `json:"customer_email"`
	Items  []map[string]any `json:"items"`
	Totals map[string]any   `json:"totals"`
	Bill   map[string]any   `json:"billing_address"`
}

// verifyBody returns what is wrong with a body. A body without the amounts and lines is an order that is lost in part.
func verifyBody(body []byte) string {
	var s sent
	if err := json.Unmarshal(body, &s); err != nil {
		return "the body: " + err.Error()
	}
	total, isNumber := s.Totals["grand_total"].(float64)
	switch {
	case s.Order == "":
		return "the body names no order"
	case s.Email == "":
		return "the body names no customer"
	case len(s.Items) != 1 || s.Items[0]["sku"] == "" || s.Items[0]["qty"] != 2.0:
		return fmt.Sprintf("the body's items are %v", s.Items)
	case !isNumber || total <= 0:
		return fmt.Sprintf("the body's grand total is %v", s.Totals["grand_total"])
	case s.Bill["city"] == "":
		return "the body has no billing address"
	}
	return ""
}
