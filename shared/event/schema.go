package event

import "embed"

//go:embed schema/*.json
var schemas embed.FS

// Schema is the JSON Schema (draft 2020-12) of the values of an event, named by its topic, or by TypeRetry for parked
// and due retries. "sync" names the definitions that the others refer to as sync.json. It is false for any other name.
func Schema(name string) ([]byte, bool) {
	text, err := schemas.ReadFile("schema/" + name + ".json")
	return text, err == nil
}
