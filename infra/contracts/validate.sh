#!/usr/bin/env bash
# The descriptions of the API and of the topics by the official validators, from npm, and the Go client as it is generated from the first.
# Its last lines say what was run, and what was not for want of a program.
set -euo pipefail
cd "$(dirname "$0")/../.."
openapi="$PWD/shared/contracts/openapi.json"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export TMPDIR="$work" SCARF_ANALYTICS=false # what tools leave behind goes with the folder, and none reports that it was used

go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config shared/client/generate.yaml -o "$work/api.gen.go" "$openapi"
if ! cmp "$work/api.gen.go" shared/client/api.gen.go; then
  echo "shared/client is not made from shared/contracts/openapi.json: task client"
  exit 1
fi
echo "client: as it is generated"

if ! command -v npm >/dev/null; then
  echo "descriptions: validators not run, as npm is not here"
  exit 0
fi
cp infra/contracts/package.json infra/contracts/package-lock.json infra/contracts/validate.mjs infra/contracts/redocly.yaml "$work"
asyncapi="$PWD/shared/contracts/asyncapi.json"
cd "$work"
npm ci --silent --no-audit --no-fund
node validate.mjs "$openapi" "$asyncapi"
npx --no redocly lint --config redocly.yaml "$openapi" 2>redocly.txt || { cat redocly.txt; exit 1; }
echo "descriptions: valid by OpenAPI's schema and Redocly, and by AsyncAPI's parser"
