// All texts of the console, by page. To translate it, translate this file.
export const texts = {
  units: { ms: 'ms', s: 's', min: 'min', h: 'h', d: 'd' },
  ago: (span) => `${span} ago`,
  statuses: { pending: 'Held', queued: 'Queued', in_progress: 'In flight', success: 'Success', failed: 'Failed', not_synced: 'Not synced' },
  loading: 'Loading …',
  cancel: 'Cancel',
  close: 'Close',
  remove: (what) => `Remove: ${what}`,
  more: 'More',
  reason: 'Reason',
  reasonHint: 'It stays in the history, under your name.',
  wrong: 'This part of the page has an error. Reload the page; if it stays, tell us what you did.',
  nothingHere: 'There is no such page.',

  shell: {
    skip: 'To the content', menu: 'Main', notices: 'Notices', signOut: 'Sign out', theme: 'Theme', themes: { '': '◐ System', light: '☀ Light', dark: '☾ Dark' },
    pages: { overview: 'Overview', orders: 'Orders', failures: 'Failures', quarantine: 'Quarantine', 'dead-letters': 'Dead letters', settings: 'Settings', tokens: 'Tokens' },
    may: 'may', allShops: 'all shops', shop: (name) => `shop ${name} only`, until: 'until', noEnd: 'no end',
  },

  unreachable: 'The connector does not answer. Is it running, and is the network up?',
  nothingOffered: {
    title: 'Nothing to see here',
    text: 'You are signed in, but may see none of these pages. Ask whoever runs the connector for view_status. Your name at the top says what you may do.',
  },

  signIn: {
    title: 'Sign in', token: 'Token', button: 'Sign in', checking: 'Checking …', or: 'or',
    lead: 'With a token of the API. It stays in a cookie of this browser that no script can read.',
    hint: 'Whoever runs the connector makes one: erpconnector token create NAME --may view_status,resync',
    withToken: 'Sign in with a token', name: 'Name', password: 'Password', at: (provider) => `Sign in at ${provider}`,
    refused: 'This token is not known, was revoked, or has expired. Ask whoever made it for another one.',
    wrongPassword: 'This name and password do not belong together, or the user is disabled.',
    limited: (seconds) => `Too many sign-ins have failed. The next one is looked at in ${seconds} s.`,
    ended: 'The session has ended: it has expired, or was revoked. Sign in again, and you are back at this page.',
    endedHere: 'Nothing was done: the session has ended. Copy what you have written, close this, and sign in again.',
    ends: (time) => `The session ends at ${time}. Finish what you write, then sign out and in again.`,
    noCookie: 'You are known, but the browser has not kept the cookie. Allow cookies for this address.',
    back: {
      denied: 'The identity provider has not let you in. Try again, or ask whoever runs it.',
      refused: 'The identity provider has let you in, but its answer is not good. Try again; the log of the connector says what is wrong.',
      late: 'This sign-in was begun too long ago, or in another browser or address. Try again.',
      forbidden: 'The identity provider knows you, but you may do nothing here. Ask whoever runs the connector to add your group (OIDC_RESOURCES).',
      away: 'The identity provider does not answer. Try again in a minute, or sign in another way.',
      failed: 'The session could not begin, as the database does not answer. Try again.',
    },
  },

  orders: {
    title: 'Orders', search: 'Search orders', searchHint: 'Order number, e-mail, ERP reference, or words of the error', all: 'All',
    addFilter: 'Filter', columns: 'Columns', csv: 'Export CSV', shown: (n) => `${n} shown`, noMore: 'That is all.', looking: 'Looking further …',
    none: 'No order matches.', noneAtAll: 'No order has been sent yet. Publish an invoice, and it is here.', clear: 'Clear all filters', apply: 'Apply',
    open: (order) => `Open order ${order}`, keys: [['/', 'search'], ['j k', 'move'], ['enter', 'open'], ['r', 'resync']],
    sorts: { '': 'last changed first', updated_at: 'longest unchanged first', '-created_at': 'newest first', created_at: 'oldest first' }, sort: 'Order',
    counting: 'The orders are being counted; the numbers are right in a moment.',
    fields: {
      sync_id: 'Sync', order_increment_id: 'Order', order_id: 'Number in the shop', source: 'Shop', status: 'Status', attempts: 'Attempts', last_error: 'Error',
      error_code: 'Error code', http_status: 'HTTP status', erp_reference: 'ERP reference', idempotency_key: 'Idempotency key', generation: 'Generation',
      created_at: 'Requested', updated_at: 'Changed', last_attempt_at: 'Last attempt', next_attempt_at: 'Next attempt',
    },
    filters: {
      status: 'Status', source: 'Shop', order: 'Order', order_id: 'Number in the shop', email: 'E-mail', erp_reference: 'ERP reference', idempotency_key: 'Idempotency key',
      error_group: 'Kind of error', error: 'Error has', error_code: 'Error code', http_status: 'HTTP status', attempts_from: 'Attempts, at least',
      attempts_to: 'Attempts, at most', created_since: 'Requested since', created_until: 'Requested until', updated_since: 'Changed since', updated_until: 'Changed until',
    },
    filterHints: { time: '24h, 2026-01-31, or 2026-01-31 10:00:00 (UTC)', status: 'failed,queued' },
  },

  order: {
    title: (order) => `Order ${order}`, back: 'Orders', facts: 'Facts', timeline: 'Timeline', sent: 'Sent and answered',
    say: {
      success: (reference) => (reference ? `The ERP has the order, as ${reference}.` : 'The ERP has the order. It named no reference.'),
      failed: (n, max, why) => `Failed after attempt ${n} of ${max}: ${why}`,
      failedEarly: (why) => `Failed without a call to the ERP: ${why}`,
      held: 'Held: the cron sends it, or the connector once it is turned on again. “Send now” does it at once.',
      waits: (next, max, span, why) => `Waits for attempt ${next} of ${max} in ${span}: ${why}`,
      queued: (next, max) => `On its way to attempt ${next} of ${max}.`,
      kept: (waits) => `The order ${waits}.`,
      inFlight: (n, max) => `Attempt ${n} of ${max} is under way: the ERP has not answered yet.`,
      answered: (status, error) => (error.startsWith(`HTTP ${status}`) ? `the ERP answered ${error}` : `the ERP answered ${status}: ${error}`),
      unknown: 'the reason is not known',
    },
    events: {
      vendor_erp_sync_requested: 'Requested', vendor_erp_sync_before_send: 'Sent to the ERP', vendor_erp_sync_after_send: 'Answer of the ERP',
      vendor_erp_sync_success: 'Success', vendor_erp_sync_failed: 'Failed', vendor_erp_sync_callback: 'Callback or decision', sales_order_event: 'Event of the shop',
    },
    attempt: (n, max) => `attempt ${n} of ${max}`, generation: (n) => `generation ${n}`, took: (span) => `after ${span}`, notSent: (text) => `Not sent: ${text}`, noAnswer: 'no answer', http: (status) => `HTTP ${status}`,
    keptFrom: 'What was before may have been deleted (timeline_retention):', noFacts: 'Nothing is recorded yet.', place: 'place in the log: topic/partition/offset',
    show: 'Show what was sent, and the last answer', showHint: 'It holds personal data. The log says who has looked.',
    withheld: 'What was sent and answered holds personal data; your token does not show it.', payload: 'Sent to the ERP', response: 'Last answer of the ERP',
    notSentYet: 'Nothing was sent yet.', raw: 'Raw JSON', rawSync: 'the order', rawStatus: 'its status', rawEvents: 'its timeline',
    live: 'Refreshed while it is under way', by: (name) => `as ${name}`,
  },

  actions: {
    resync: { button: 'Resync', title: 'Send the order again?', ask: 'It is sent now, with the changes that came since. It carries the same idempotency key until it was answered with success, so the ERP books it once.', do: 'Resync' },
    newKey: { button: 'New key …', title: 'Send the order under a new key?', ask: 'The ERP takes it for another order. If it has booked this one already, it books it a second time.', do: 'Send under a new key' },
    sendNow: { button: 'Send now', title: 'Send the order now?', ask: 'It does not wait any longer: not for its next attempt, and not for the cron. Its attempts begin anew.', do: 'Send now' },
    cancel: { button: 'Cancel order …', title: 'Cancel the order?', ask: 'It is not sent any more and counts as failed. A resync sends it after all.', do: 'Cancel the order' },
    settle: { button: 'Settle …', title: 'Settle the order by hand?', ask: 'The order counts as a success from then on, and nothing is sent. Do it when the ERP has the order already.', do: 'Settle', reference: 'ERP reference, if there is one' },
    of: (order, shop) => `Order ${order} of the shop ${shop}.`,
    done: (order, status) => `Order ${order}: ${status}.`,
  },

  failures: {
    title: 'Failures', which: 'Which errors', failed: 'Failed', andRetries: 'With those that wait for a retry', none: 'Nothing is wrong: there is no order with an error.',
    columns: ['Error', 'Orders', 'First seen', 'Last seen', 'What to do'], orders: 'Orders', one: 'Resend one …', all: (n) => (n === 1 ? 'Resend …' : `Resend all ${n.toLocaleString()} …`),
    askOne: (order) => `Send order ${order} again?`, doOne: 'Send it', askText: 'Mend the cause first, in the ERP or in the shop. Each order carries its key, so the ERP books none twice.',
    ask: (n, atLeast) => `Send ${atLeast ? 'at least ' : ''}${n.toLocaleString()} orders again?`, do: (n) => `Send ${n.toLocaleString()}`,
    worth: (value) => value && `They are worth ${value}.`, canary: (n) => `${n} of them must succeed before the others go out.`,
    takes: (seconds) => `At the ERP's pace of now it takes about ${seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`}.`,
    wouldRefuse: (n) => `${n} would be refused now.`,
  },

  jobs: {
    title: (command, id) => `${command}, job ${id}`, commands: { resync: 'Sending again', cancel: 'Cancelling', settle: 'Settling', 'send-now': 'Sending now' },
    states: { selecting: 'is finding its orders', running: 'runs', paused: 'is paused', stopped: 'was stopped', done: 'is done' }, progress: 'Progress',
    said: (done, selected) => `${done.toLocaleString()} of ${selected.toLocaleString()} orders.`,
    parts: (succeeded, failed, refused, sent) => [[succeeded, 'succeeded'], [failed, 'failed'], [refused, 'refused'], [sent, 'under way']]
      .filter(([n]) => n > 0).map(([n, what]) => `${n.toLocaleString()} ${what}`).join(', '),
    waits: (why) => `Each order ${why}.`, pause: 'Pause', resume: 'Go on', stop: 'Stop', results: 'Each order', by: (who) => `by ${who}, since`,
  },

  overview: {
    title: 'Overview', oldest: (ago) => `oldest ${ago}`, shops: 'By shop', shop: 'Shop', total: 'All', backlog: 'Backlog',
    tiles: { failed: 'need somebody', pending: 'wait for the cron', queued: 'wait for a call or a retry', in_progress: 'at the ERP now', success: 'are in the ERP' },
    chart: 'Backlog', chartHint: 'Orders that wait or are under way, and failed ones, since this page was opened.',
    chartSays: (backlog, failed) => `A chart of the backlog. Now ${backlog} orders are under way, and ${failed} have failed.`,
  },

  erp: {
    title: 'ERP', states: { closed: 'takes calls', open: 'calls stopped', probing: 'is probed', closing: 'takes a few calls' }, nobody: 'no syncer runs', history: 'Changes',
    each: (waits) => `Each order ${waits}.`, allOut: 'Calls go out to the ERP.', ofAtMost: (n, limit, most) => `${n}, of at most ${limit} now and ${most} by setting`,
    aSecond: (rate) => `${rate} a second`, noLimit: 'no limit',
    facts: { in_flight: 'Calls under way', rate: 'Calls', processes: 'Syncers', stopped_since: 'Stopped since', next_probe_at: 'Next probe', held_until: 'Held until, as the ERP asked',
      window_until: 'Window until', last_probe: 'Last probe' },
    open: { button: 'Stop calls …', title: 'Stop all calls to the ERP?', ask: 'No order goes out until somebody lets them out again by hand. Calls that are under way end. Nothing gets lost.', do: 'Stop all calls' },
    close: { button: 'Let calls out …', title: 'Let calls out to the ERP?', ask: 'All that waits goes out at once. When the ERP still fails, calls stop again by themselves.', do: 'Let calls out' },
  },

  quarantine: {
    title: 'Quarantine', lead: 'Events that were refused. Nothing of them was sent to the ERP.', none: 'No event waits here.', which: 'State',
    states: { open: 'Open', discarded: 'Discarded' }, columns: ['Refused last', 'What is wrong', 'Order', 'Shop', 'What to do'],
    codes: { refused: 'The event is wrong', conflict: 'It contradicts what was accepted before', unknown_order: 'Its order is not known', too_large: 'It is too large',
      failed: 'The database has refused it' },
    came: (door, tries) => `${door === 'http' ? 'over HTTP; the shop was told' : 'from the commerce outbox; this is the only copy'}${tries > 1 ? `, ${tries} times` : ''}`,
    discardedBy: (who, why) => `Discarded by ${who}: ${why}`, sent: (id, result) => `Entry ${id}: ${result}.`,
    results: { accepted: 'accepted', duplicate: 'accepted before already' },
    correct: { button: 'Correct …', title: 'Correct the event, and send it', event: 'The event', do: 'Send' },
    send: { button: 'Send again …', title: 'Send the event again as it is?', ask: 'Do it when the cause is gone, like an order that was not known. If it is refused once more, it stays here.', do: 'Send again' },
    discard: { button: 'Discard …', title: 'Discard the event?', ask: 'It is not sent. Who discarded it, and why, stays for a while.', do: 'Discard' },
  },

  deadLetters: {
    title: 'Dead letters', lead: 'Records that nobody could read. An order whose record is here has stopped.', none: 'There is none.',
    states: { open: 'Open', redriven: 'Sent back', discarded: 'Discarded' }, which: 'State',
    columns: ['Written', 'Reason', 'Order', 'Record', 'What to do'], show: 'Show', record: (id) => `Dead letter ${id}`,
    redrive: { button: 'Send back …', title: 'Send the record back to its topic?', ask: 'Do it once the cause is gone. Its reader tries it again.', do: 'Send back', force: 'Also when it has come back twice' },
    discard: { button: 'Discard …', title: 'Discard the record?', ask: 'Nothing more is done about it. An order that it has stopped stays failed.', do: 'Discard' },
    done: (id, state) => `Dead letter ${id}: ${state}.`, decided: (by, why) => `${by}: ${why}`,
  },

  settings: {
    title: 'Settings', lead: 'A change is in force in every process within a second.', find: 'Find a setting', default: 'default', changed: (by) => `changed by ${by},`,
    edit: 'Change …', history: 'History', title1: (name) => `Change ${name}`, value: 'New value', allowed: (text) => `Allowed: ${text}`,
    reset: 'Back to the default', do: 'Change', done: (name) => `${name} is changed.`, onlyChanged: 'Changed ones only', none: 'No setting matches.',
    noHistory: 'Nobody has changed it.', historyOf: (name) => `History of ${name}`, environment: 'default',
  },

  tokens: {
    title: 'Tokens', lead: 'A token says who somebody is and what they may do.', create: 'New token …', all: 'Also those that are revoked or expired',
    columns: ['Name', 'Begins with', 'May', 'Shop', 'Made', 'Last used', 'Ends', ''], never: 'never', revoked: 'revoked', allShops: 'all',
    title1: 'Make a token', ask: 'It can do no more than your own.', name: 'Name', nameHint: 'Who or what uses it. The log and histories name it.', may: 'May', shop: 'For one shop only',
    shopHint: 'Leave it empty for all shops.', ends: 'Ends', terms: { '': 'never', 1: 'in a day', 30: 'in 30 days', 90: 'in 90 days', 365: 'in a year' }, do: 'Make it',
    once: 'This is the only time that the token is shown. Copy it now.', made: (name) => `The token of ${name}`, copy: 'Copy', copied: 'Copied.',
    revoke: { button: 'Revoke …', title: 'Revoke the token?', ask: (name) => `Every process refuses the token of ${name} within two seconds. That cannot be taken back.`, do: 'Revoke', done: (name) => `The token of ${name} is revoked.` },
    meanings: {
      config: 'see and change settings', erp_address: 'with config: change the address of the ERP', manage: 'all about orders and dead letters; see what was sent', publish: 'publish events',
      resync: 'send orders again', sync: 'send orders', tokens: 'make and revoke tokens', view_status: 'see orders',
    },
  },
};
