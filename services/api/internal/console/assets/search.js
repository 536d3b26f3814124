// What a reader types may be an order's number, an e-mail address, the ERP's name of the order, or words of an error.
import { get } from './api.js';

const wanted = 50; // rows of a page
const maxTurns = 5; // a page of the API may be empty and have a next one

// guesses are the parameters that a text may stand for, the likeliest first.
export function guesses(text) {
  if (!text) return [{}];
  if (text.includes('@')) return [{ email: text }];
  if (/\s/.test(text) || !/\d/.test(text)) return [{ error: text }, { erp_reference: text }, { order: text }];
  return [{ order: text }, { erp_reference: text }, { error: text }];
}

// findPage reads the orders that match. by says what the text was taken for; next is the cursor of what follows, or null.
export async function findPage({ q, ...params }, signal) {
  let found;
  for (const by of guesses(q)) {
    found = { ...await readOn({ ...params, ...by }, signal), by };
    if (found.syncs.length || found.next) break;
  }
  return found;
}

async function readOn(params, signal) {
  const syncs = [];
  let next = params.cursor;
  for (let turn = 0; turn < maxTurns; turn++) {
    const page = await get('/syncs', { limit: wanted, ...params, cursor: next }, { signal });
    syncs.push(...page.syncs);
    next = page.next;
    if (!next || syncs.length >= wanted) break;
  }
  return { syncs, next };
}
