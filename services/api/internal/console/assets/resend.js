// Sends the failed orders of a group again, one by one, through the API. It goes on while the page is open.
import { get, post } from './api.js';

// resendGroup tells after each order how far it is. An order that the API refuses is passed over.
export async function resendGroup(group, total, signal, told) {
  const state = { total, done: 0, refused: [], running: true };
  try {
    for await (const sync of failedOf(group, signal)) {
      await post('/resync-order?wait=0', { orderIncrementId: sync.order_increment_id, source: sync.source })
        .catch((problem) => state.refused.push(`${sync.order_increment_id}: ${problem.message}`));
      state.done++;
      state.last = sync;
      told(state);
      if (state.done >= total || signal.aborted) break;
    }
  } catch (error) {
    if (error.name !== 'AbortError') state.refused.push(error.message);
  }
  told({ ...state, running: false });
}

// failedOf reads the orders in the order of their creation, in which each has its place for ever.
async function* failedOf(group, signal) {
  let cursor;
  do {
    const page = await get('/syncs', {
      status: 'failed', error_group: group.error_group, sort: 'created_at', limit: 100, fields: 'sync_id,order_increment_id,source', cursor,
    }, { signal });
    yield* page.syncs;
    cursor = page.next;
  } while (cursor);
}
