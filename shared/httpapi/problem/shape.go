package problem

import "reflect"

// BodyType is the type of what Write writes.
func BodyType() reflect.Type { return reflect.TypeFor[body]() }

// FieldErrorType is the type of what a FieldError is in JSON.
func FieldErrorType() reflect.Type { return reflect.TypeFor[fieldJSON]() }
