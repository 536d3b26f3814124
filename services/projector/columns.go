package projector

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// columnsOf are rows as Postgres takes many at once: the names of the columns (the fields' tags), a table expression over
// one array a column, and the arrays. To read the same as JSON takes Postgres several times as long.
func columnsOf[T any](rows []T) (names, from string, arrays []any) {
	kind := reflect.TypeFor[T]()
	var columns, unnested []string
	for i := range kind.NumField() {
		field := kind.Field(i)
		columns = append(columns, `"`+field.Tag.Get("db")+`"`)
		unnested = append(unnested, fmt.Sprintf("$%d::%s[]", i+1, typeOf(field.Type)))
		array := reflect.MakeSlice(reflect.SliceOf(field.Type), len(rows), len(rows))
		for n := range rows {
			array.Index(n).Set(reflect.ValueOf(&rows[n]).Elem().Field(i))
		}
		arrays = append(arrays, array.Interface())
	}
	return strings.Join(columns, ", "), "unnest(" + strings.Join(unnested, ", ") + ")", arrays
}

// typeOf is wide: a number that is too large for its column is refused by Postgres, and no error of the client's.
func typeOf(field reflect.Type) string {
	if field.Kind() == reflect.Pointer {
		field = field.Elem()
	}
	switch {
	case field == reflect.TypeFor[time.Time]():
		return "timestamptz"
	case field.Kind() == reflect.String:
		return "text"
	}
	return "bigint"
}
