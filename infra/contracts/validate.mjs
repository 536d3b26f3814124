// Validates a description of the API by the JSON Schema of OpenAPI, or one of the topics by AsyncAPI's own parser.
import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Parser } from "@asyncapi/parser";

const [openapi, asyncapi] = process.argv.slice(2);
const api = await new Validator().validate(JSON.parse(readFileSync(openapi, "utf8")));
const topics = await new Parser().validate(readFileSync(asyncapi, "utf8"));
const wrong = topics.filter((found) => found.severity < 2); // errors and warnings
if (!api.valid) console.error(JSON.stringify(api.errors, null, 1));
for (const found of wrong) console.error(`${found.path.join("/")}: ${found.message}`);
process.exit(api.valid && wrong.length === 0 ? 0 : 1);
