// JSON for people: indented, with the digits of its numbers.
import { exact } from './api.js';

// indented is a text as it is, when it is no JSON.
export function indented(text) {
  try {
    return JSON.stringify(exact(text), null, 2);
  } catch {
    return text;
  }
}
