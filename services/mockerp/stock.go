package mockerp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// stock is the body of POST mock-update-stock, as the module takes it.
type stock struct {
	Items []struct {
		SKU string      `json:"sku"`
		Qty json.Number `json:"qty"`
	} `json:"items"`
	OrderIncrementID string `json:"orderIncrementId"`
	IdempotencyKey   string `json:"idempotencyKey"`
}

var stockContract = object(
	field{name: "items", rule: someOf(object(
		field{name: "sku", rule: text},
		field{name: "qty", rule: number},
	))},
	field{name: "orderIncrementId", rule: text},
	field{name: "idempotencyKey", rule: text},
)

// updated is the module's answer.
type updated struct {
	OK               bool          `json:"ok"`
	Message          string        `json:"message"`
	OrderIncrementID string        `json:"order_increment_id"`
	IdempotencyKey   string        `json:"idempotency_key"`
	ErpReference     string        `json:"erp_reference"`
	Items            []updatedItem `json:"items"`
	Timestamp        string        `json:"timestamp"`
}

type updatedItem struct {
	SKU    string      `json:"sku"`
	Qty    json.Number `json:"qty"` // with the digits that came in
	Status string      `json:"status"`
}

// updateStock is POST mock-update-stock: it says that it has updated, and keeps nothing. The reference follows from the
// key, so that the same key has the same reference, after a restart too.
func (e *ERP) updateStock(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	if why := unreadable(body); why != "" {
		answer(w, http.StatusBadRequest, errorBody("REFUSED", why))
		return
	}
	if problems := stockContract("", bytes.TrimSpace(body)); len(problems) > 0 {
		answer(w, http.StatusUnprocessableEntity, errorBody("REFUSED", strings.Join(problems, "; ")))
		return
	}
	var s stock
	if err := json.Unmarshal(body, &s); err != nil {
		answer(w, http.StatusUnprocessableEntity, errorBody("REFUSED", err.Error()))
		return
	}
	if problems := s.texts(); len(problems) > 0 {
		answer(w, http.StatusUnprocessableEntity, errorBody("REFUSED", strings.Join(problems, "; ")))
		return
	}
	u := updated{
		OK: true, Message: "Stock updated successfully (mock)", OrderIncrementID: s.OrderIncrementID,
		IdempotencyKey: s.IdempotencyKey, ErpReference: stockReference(s.IdempotencyKey), Timestamp: e.opts.Now().UTC().Format(time.DateTime),
	}
	for _, item := range s.Items {
		u.Items = append(u.Items, updatedItem{item.SKU, item.Qty, "updated"})
	}
	e.opts.Log.Info("mock stock updated", "order_increment_id", s.OrderIncrementID, "idempotency_key", s.IdempotencyKey, "items", len(s.Items))
	answer(w, http.StatusOK, u)
}

// texts says what is wrong with the body's texts.
func (s stock) texts() (problems []string) {
	check := func(place string, err error) {
		if err != nil {
			problems = append(problems, place+" "+err.Error())
		}
	}
	for i, item := range s.Items {
		check(fmt.Sprintf("/items/%d/sku", i), domain.MockText.Check(item.SKU))
	}
	check("/orderIncrementId", domain.ValidateIncrementID(s.OrderIncrementID))
	check("/idempotencyKey", domain.KeyText.Check(s.IdempotencyKey))
	return problems
}

// stockReference has the module's form: ERP-MOCK- and ten capital letters or digits.
func stockReference(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "ERP-MOCK-" + strings.ToUpper(hex.EncodeToString(sum[:5]))
}
