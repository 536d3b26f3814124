package mockerp

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// rule says what is wrong with a value, each problem with the value's place; no problem: nil.
type rule func(place string, raw json.RawMessage) []string

// field is one field of an object. It must be there, if only as null where its rule takes that.
type field struct {
	name     string
	rule     rule
	optional bool
}

// contract is the payload of POST orders/sync: the module's fields, and source for a shop that is not the default one.
// Fields that a shop may not know, and amounts that it left out, are null.
var contract = object(
	field{name: "source", rule: text, optional: true},
	field{name: "order_increment_id", rule: text},
	field{name: "order_id", rule: orNull(whole)},
	field{name: "customer_email", rule: orNull(anyText)},
	field{name: "customer_firstname", rule: orNull(anyText)},
	field{name: "customer_lastname", rule: orNull(anyText)},
	field{name: "items", rule: someOf(object(
		field{name: "sku", rule: text},
		field{name: "name", rule: anyText},
		field{name: "qty", rule: number},
		field{name: "price", rule: orNull(number)},
		field{name: "row_total", rule: orNull(number)},
	))},
	field{name: "totals", rule: object(
		field{name: "subtotal", rule: orNull(number)},
		field{name: "tax", rule: orNull(number)},
		field{name: "shipping", rule: orNull(number)},
		field{name: "discount", rule: orNull(number)},
		field{name: "grand_total", rule: number},
	)},
	field{name: "billing_address", rule: orNull(address)},
	field{name: "shipping_address", rule: orNull(address)},
	field{name: "created_at", rule: orNull(date)},
	field{name: "updated_at", rule: orNull(date)},
)

var address = object(
	field{name: "firstname", rule: orNull(anyText)},
	field{name: "lastname", rule: orNull(anyText)},
	field{name: "street", rule: orNull(listOf(anyText))},
	field{name: "city", rule: orNull(anyText)},
	field{name: "region", rule: orNull(anyText)},
	field{name: "postcode", rule: orNull(anyText)},
	field{name: "country_id", rule: orNull(anyText)},
	field{name: "telephone", rule: orNull(anyText)},
)

// object takes an object with these fields and no others. A field that nobody expects is a mistake of the sender, so it is one here.
func object(fields ...field) rule {
	return func(place string, raw json.RawMessage) (problems []string) {
		var values map[string]json.RawMessage
		if json.Unmarshal(raw, &values) != nil || values == nil {
			return wrong(place, "must be an object")
		}
		for _, f := range fields {
			value, given := values[f.name]
			delete(values, f.name)
			switch {
			case given:
				problems = append(problems, f.rule(place+"/"+f.name, value)...)
			case !f.optional:
				problems = append(problems, wrong(place+"/"+f.name, "is missing")...)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			problems = append(problems, wrong(place+"/"+name, "is not a field of the contract")...)
		}
		return problems
	}
}

func listOf(element rule) rule {
	return func(place string, raw json.RawMessage) (problems []string) {
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) != nil || values == nil {
			return wrong(place, "must be a list")
		}
		for i, value := range values {
			problems = append(problems, element(fmt.Sprintf("%s/%d", place, i), value)...)
		}
		return problems
	}
}

// someOf is listOf without the empty list: an order without a line is none.
func someOf(element rule) rule {
	return func(place string, raw json.RawMessage) []string {
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) == nil && values != nil && len(values) == 0 {
			return wrong(place, "must not be empty")
		}
		return listOf(element)(place, raw)
	}
}

// orNull takes null where a shop may not know a value.
func orNull(r rule) rule {
	return func(place string, raw json.RawMessage) []string {
		if string(raw) == "null" {
			return nil
		}
		return r(place, raw)
	}
}

// anyText takes a string, an empty one too: a customer may have no last name.
func anyText(place string, raw json.RawMessage) []string {
	if raw[0] != '"' {
		return wrong(place, "must be a string")
	}
	return nil
}

// text takes a string with something in it.
func text(place string, raw json.RawMessage) []string {
	if string(raw) == `""` {
		return wrong(place, "must not be empty")
	}
	return anyText(place, raw)
}

// number takes a JSON number and not a string that holds one, as the module sends numbers.
func number(place string, raw json.RawMessage) []string {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return wrong(place, "must be a number")
	}
	return nil
}

// whole takes what fits 64 bits. 1.0 and 1e3 are none, as many readers would refuse them.
func whole(place string, raw json.RawMessage) []string {
	if json.Unmarshal(raw, new(int64)) != nil {
		return wrong(place, "must be a whole number")
	}
	return nil
}

// date takes the module's format only. The connector accepts others from shops, and must not pass them on.
func date(place string, raw json.RawMessage) []string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		if _, err := time.Parse(time.DateTime, s); err == nil {
			return nil
		}
	}
	return wrong(place, "must be a time like 2024-01-15 10:30:00")
}

func wrong(place, what string) []string {
	if place == "" {
		place = "the payload"
	}
	return []string{place + " " + what}
}
