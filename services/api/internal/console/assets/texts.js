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
    skip: 'To the content', menu: 'Main', open: 'Menu', work: 'Work', manage: 'Manage', notices: 'Notices', signOut: 'Sign out', theme: 'Theme', themes: { '': '◐ System', light: '☀ Light', dark: '☾ Dark' },
    pages: {
      overview: 'Overview', orders: 'Orders', failures: 'Failures', live: 'Live', quarantine: 'Quarantine', 'dead-letters': 'Dead letters',
      alerts: 'Alerts', audit: 'Audit', settings: 'Settings', tokens: 'Tokens', users: 'Users',
    },
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
    usual: 'The usual ones', columnsKept: 'This browser keeps them. An export has the same.', open: (order) => `Open order ${order}`, keys: [['/', 'search'], ['j k', 'move'], ['enter', 'open'], ['r', 'resync']],
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
    filterHints: {
      time: '24h, 2026-01-31, or 2026-01-31 10:00:00 (UTC)', status: 'One, or several: failed,queued', error: 'Words of the error. A number stands for any number.',
      error_group: 'The number of a kind: Failures leads to it.', error_code: 'Like erp_timeout', http_status: 'Like 422', attempts_from: 'A number', attempts_to: 'A number',
      email: 'In small or capital letters', order_id: 'The number by which the shop keeps it', idempotency_key: 'Of its newest generation',
    },
  },

  order: {
    title: (order) => `Order ${order}`, back: 'Orders', facts: 'Facts', timeline: 'Timeline', sent: 'Sent and answered',
    say: {
      success: (reference, by) => (reference ? `The ERP has the order, as ${reference}.` : 'The ERP has the order. It named no reference.') + (by ? ` (${by})` : ''),
      decided: (by, calls) => `Ended by a decision, ${calls ? `after ${calls === 1 ? '1 attempt' : `${calls} attempts`}` : 'without a call to the ERP'}: ${by}`,
      failed: (n, max, why) => `Failed after attempt ${n} of ${max}: ${why}`,
      failedEarly: (why) => `Failed without a call to the ERP: ${why}`,
      held: 'Held: the cron sends it, or the connector once it is turned on again. “Send now” does it at once.',
      waits: (next, max, span, why) => `Waits for attempt ${next} of ${max} in ${span}: ${why}`,
      queued: (next, max) => `On its way to attempt ${next} of ${max}.`,
      kept: (waits) => `The order ${waits}.`,
      inFlight: (n, max, span) => `Attempt ${n} of ${max} is under way${span ? ` for ${span}` : ''}: the ERP has not answered yet.`,
      answered: (status, error) => (error.startsWith(`HTTP ${status}`) ? `the ERP answered ${error}` : `the ERP answered ${status}: ${error}`),
      unknown: 'the reason is not known',
    },
    events: {
      vendor_erp_sync_requested: 'Requested', vendor_erp_sync_success: 'Success', vendor_erp_sync_failed: 'Failed', vendor_erp_sync_callback: 'Callback or decision', sales_order_event: 'Event of the shop',
    },
    attemptTitle: (n, max, now) => (now ? `Attempt ${n} of ${max}` : `Attempt ${n}`), generation: (n) => `generation ${n}`, took: (span) => `after ${span}`, notSent: (text) => `Not sent: ${text}`, noAnswer: 'no answer', http: (status) => `HTTP ${status}`,
    keptFrom: 'What was before may have been deleted (timeline_retention):', noFacts: 'Nothing is recorded yet.', place: 'place in the log: topic/partition/offset',
    show: 'Show what was sent, and the last answer', showHint: 'It holds personal data. The log says who has looked.',
    withheld: 'What was sent and answered holds personal data; your token does not show it.', payload: 'Sent to the ERP', response: 'Last answer of the ERP',
    notSentYet: 'Nothing was sent yet.', raw: 'Raw JSON', rawSync: 'the order', rawStatus: 'its status', rawEvents: 'its timeline',
    live: 'Refreshed while it is under way',
    request: 'Request', answer: 'Answer', showRequest: 'Show request', showAnswer: 'Show answer', hide: 'Hide', notAnswered: 'The ERP has not answered yet.',
    rawRecord: (place) => `${place}, as JSON`, emptyBody: '(no body)', truncated: '(cut off: the answer was longer)',
    causes: { answer: 'The ERP has answered so.', failure: 'No further attempt follows.' },
  },

  correct: {
    title: (order) => `Correct order ${order}`, order: 'The order as its shop published it', hint: 'It is JSON. The ERP is sent a part of it.',
    same: 'Nothing is changed yet.', notYet: 'It is shown once the text can be read.',
    stamped: 'updated_at becomes the time at which you have read the order, so that the correction counts.',
    noJSON: (error) => `This is no JSON yet: ${error}`, noObject: 'An order is an object: { … }.', otherOrder: (order) => `order_increment_id must stay "${order}": another number is another order.`,
    will: {
      failed: 'The corrected order is published as order.updated, and sent to the ERP at once. It carries the same idempotency key until it was answered with success, so the ERP books it once.',
      waits: 'The corrected order is published as order.updated, and sent to the ERP at once: it does not wait for its next attempt, and its attempts begin anew.',
      pending: 'The corrected order is published as order.updated. It stays held, and goes out as corrected when it is released. “Send now” does that at once.',
      queued: 'The corrected order is published as order.updated. What is on its way now carries the order as it was. If that fails, a resync sends the corrected one.',
      in_progress: 'The corrected order is published as order.updated. The call that is under way carries the order as it was. If it fails, a resync sends the corrected one.',
      success: 'The corrected order is published as order.updated, and nothing is sent: the ERP keeps the order as it was. “New key” sends the corrected one, and the ERP books it a second time.',
    },
    later: 'The correction counts as the newest state of the order. When the shop changes the order later, the shop’s state counts: mend it there too. What the shop repeats from before changes nothing.',
    do: 'Publish', doSend: 'Publish and send',
    published: (order) => `Order ${order}: the correction is published.`, sent: (order) => `Order ${order}: the correction is published, and on its way to the ERP.`,
    underWay: (order) => `Order ${order}: the correction is published. Somebody has sent the order meanwhile, as it was; look at what comes of it.`,
    succeeded: (order) => `Order ${order}: the correction is published. The ERP has taken the order meanwhile, as it was, so nothing was sent.`,
    older: 'The shop has published a newer state of the order meanwhile. It stays, and the correction does not count. Close this, and correct the newer state.',
    notSent: (why) => `The correction is published, and the order was not sent:\n${why}`,
    missing: (rights) => `Your token cannot correct the order. It lacks: ${rights.join(', ')}.`,
  },

  diff: {
    title: 'What changes', says: (gone, come) => `${gone === 1 ? '1 line goes' : `${gone} lines go`}, ${come === 1 ? '1 comes' : `${come} come`}.`,
    left: (n) => (n === 1 ? '… 1 line as before' : `… ${n} lines as before`), signs: { '-': 'goes:', '+': 'comes:' },
  },

  actions: {
    correct: { button: 'Correct …' },
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

  live: {
    title: 'Live', lead: (n) => `What happens to orders, as it happens. The newest ${n} are kept; what was before stands in Orders.`,
    pause: 'Pause', resume: (n) => (n ? `Resume, ${n.toLocaleString()} new` : 'Resume'), clear: 'Clear all filters', any: 'all',
    states: { connecting: 'Connecting', live: 'Live', paused: 'Paused', away: 'Not connected' },
    none: 'Nothing has happened since this page was opened. What happens next shows here at once.', noneOfThese: 'Nothing of this kind has happened since. What happens next shows here at once.',
    order: 'Order number', orderHint: 'Order number, then Enter', shop: 'Shop', allShops: 'All shops', type: 'Events', status: 'Status',
    types: { requested: 'Requested', before_send: 'Sent to the ERP', after_send: 'Answer of the ERP', success: 'Success', failed: 'Failed', callback: 'Callback or decision' },
    statuses: { pending: 'Held', queued: 'Queued', in_progress: 'In flight', success: 'Success', failed: 'Failed' },
    columns: ['Time', 'Order', 'Shop', 'Event', 'Status', 'Attempts', 'Details'], attempt: (n, max) => `${n}/${max}`, next: 'next attempt',
    cut: 'The connection was cut. It is taken up again where it was, in some seconds.',
    cuts: {
      stopping: 'This process of the connector stops. The stream goes on where it was, in some seconds.',
      too_slow: 'More came than this page could take. The stream goes on where it was; a filter makes it less.',
      log_unavailable: 'Kafka cannot be read at the moment. The stream goes on where it was, as soon as it can.',
      revoked: 'The token is not in force any more.',
    },
    gaps: {
      too_old: 'More came while this page was away than is sent again. Some events are missing here; Orders has all.',
      other_log: 'The log is another one than before. Events may be missing here; Orders has all.',
    },
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
    title: 'Dead letters', lead: 'Records that a reader of the log could not use. Those that have stopped an order say so.',
    none: { open: 'No dead letter is open.', redriven: 'None was sent back.', discarded: 'None was discarded.' },
    states: { open: 'Open', redriven: 'Sent back', discarded: 'Discarded' }, which: 'State',
    columns: ['Written', 'Reason', 'Order', 'Record', 'What to do'], show: 'Show', record: (id) => `Dead letter ${id}`, headers: 'Headers', value: 'Value', key: 'Key', place: 'Place', bytes: 'Bytes',
    asBytes: 'The value is no JSON. What is no text in it shows as �.', by: (who) => `The ${who} could not use it.`, stopped: 'The order has stopped: resync it.', wentOn: 'No order has stopped.',
    cameBack: (n) => `Sent back ${n} ${n === 1 ? 'time' : 'times'} before.`,
    redrive: { button: 'Send back …', title: 'Send the record back to its topic?', ask: 'Do it once the cause is gone. Its reader tries it again.', do: 'Send back', force: 'Also when it has come back twice' },
    discard: { button: 'Discard …', title: 'Discard the record?', ask: 'Nothing more is done about it. An order that it has stopped stays failed.', do: 'Discard' },
    done: (id, state) => `Dead letter ${id}: ${state}.`, decided: (by, why) => `${by}: ${why}`,
  },

  alerts: {
    title: 'Alerts', lead: 'The connector looks every ten seconds, and tells when something begins, grows, and is over.', which: 'Which alerts',
    tabs: { open: 'Open', resolved: 'Past', destinations: 'Destinations' }, none: { open: 'No alert is open.', resolved: 'There is no past alert.' },
    nobody: 'Nobody is told of alerts: there is no destination that is on.', addOne: 'Destinations', look: 'Look', at: (id) => `at what alert ${id} is about`,
    columns: ['Since', 'Alert', 'Over', 'Told to', 'What to do'],
    kinds: { orders_failed: 'Orders have failed', breaker: 'Calls to the ERP are held back', backlog: 'Orders wait too long', quarantine: 'Events were refused',
      dead_letters: 'Records cannot be read', audit: 'An audit has found a break' },
    deliveries: { pending: 'on its way', delivered: 'delivered', failed: 'given up' }, attempts: (n) => `after ${n} ${n === 1 ? 'attempt' : 'attempts'}`,
  },

  destinations: {
    title: 'Destinations', lead: 'A webhook, a channel of Slack, or an e-mail address. Each is told of all alerts, or of some.', columns: ['Name', 'Where', 'Is told of', 'What to do'],
    noAddress: 'A new destination, and another address, need a token that also holds erp_address.', none: 'There is no destination, so nobody is told of alerts.',
    kinds: { webhook: 'Webhook', slack: 'Slack', email: 'E-mail' }, allAlerts: 'all alerts', off: 'off', turnOff: 'Turn off', turnOn: 'Turn on', tryOut: 'Try',
    turned: (name, on) => (on ? `${name} is on: it is told of what is found from now on.` : `${name} is off: it is told of nothing.`),
    tried: (name, { delivered, http_status: status, said, took_ms: ms }) => `${name} has ${delivered ? '' : 'not '}taken the test${status ? `: HTTP ${status}` : ''}${said ? `: ${said}` : ''} (${ms} ms).`,
    name: 'Name', kind: 'Kind', address: 'Address', addressHint: 'An https address, or an e-mail address. Of Slack, that of an incoming webhook.', alerts: 'Is told of',
    alertsHint: 'None chosen: all alerts.', keepAddress: (address) => `Now ${address}. Leave it empty to keep it.`, rotate: 'Make a new secret; the receiver needs it at once',
    make: { button: 'New destination …', title: 'Tell somebody of alerts', ask: 'It is told of what is found from now on.', do: 'Make it' },
    change: { button: 'Change …', title: (name) => `Change ${name}`, ask: 'Notices that are on their way go by the change, too.', do: 'Change' },
    remove: { button: 'Delete …', title: (name) => `Delete ${name}?`, ask: 'It is told of nothing more. What it has not got yet is given up.', do: 'Delete', done: (name) => `${name} is deleted.` },
    secretOf: (name) => `The secret of ${name}`, once: 'The receiver tells by it that a notice is ours. This is the only time that it is shown. Copy it now.',
    made: (name) => `${name} is made. Try it.`, changed: (name) => `${name} is changed.`,
  },

  secret: { copy: 'Copy', copied: 'Copied.' },

  users: {
    title: 'Users', lead: 'Who signs in with a name and a password, like people and clients of Magento.', none: 'There is no user. Programs use tokens; users are for those who sign in.',
    columns: ['Name', 'State', 'May', 'Shop', 'Made'], disabled: 'Disabled', mayLogIn: 'May sign in', noSuch: 'There is no such user; it may have been deleted.',
    name: 'Name', nameHint: 'In whatever letters: Jane and jane are the same.', password: 'Password', passwordHint: '12 to 256 bytes. Leave it empty, and one is made and shown once.',
    make: { button: 'New user …', title: 'Make a user', ask: 'They can do no more than you.', do: 'Make it' }, made: (name) => `The user ${name} is made.`,
    once: 'This is the only time that the password is shown. Copy it now.', passwordOf: (name) => `The password of ${name}`,
    sessions: 'Sessions', noSessions: 'Not signed in anywhere.', facts: { may: 'May', shop: 'Shop', made: 'Made', changed: 'Changed', disabled: 'Disabled' },
    rights: { button: 'Rights …', title: (name) => `What ${name} may do`, ask: 'It counts at once, also in sessions that are open.', do: 'Change', done: (name) => `What ${name} may do is changed.` },
    newPassword: { button: 'Password …', title: (name) => `Give ${name} another password?`, ask: 'All sessions end within two seconds.', do: 'Change the password', done: (name) => `${name} has another password.` },
    disable: { button: 'Disable …', title: (name) => `Disable ${name}?`, ask: 'All sessions end within two seconds, and nobody signs in by this name until it is enabled.', do: 'Disable', done: (name) => `${name} is disabled.` },
    enable: { button: 'Enable …', title: (name) => `Enable ${name}?`, ask: 'The password is what it was.', do: 'Enable', done: (name) => `${name} may sign in.` },
    remove: { button: 'Delete …', title: (name) => `Delete ${name}?`, ask: 'All sessions end. Tokens that the user has made stay: revoke those too.', do: 'Delete', danger: true, done: (name) => `${name} is deleted.` },
  },

  audit: {
    title: 'Audit', lead: 'Whether all that was accepted is still there. Nothing is changed by looking.', never: 'Nobody has asked for one yet.', history: 'All runs',
    kinds: {
      audit: {
        name: 'Audit', means: 'Is every accepted order in one place, or ended once?', button: 'Audit …', ask: 'Look whether an order is lost?', do: 'Start the audit',
        costs: 'It reads the log in Kafka, and gates, events and outbox in Postgres once. Some 100,000 orders take a minute. What it finds raises an alert.',
      },
      verify: {
        name: 'Verification', means: 'Is the table of orders what the log in Kafka says?', button: 'Verify …', ask: 'Compare the table with the log?', do: 'Start the verification',
        costs: 'It builds the table of orders a second time from the whole log, so the database needs room for that until it ends. Some 100,000 orders take a few minutes.',
      },
    },
    goesOn: 'There is one at a time. It rests as long as it works, so that orders go on as before. The scheduler makes it, and this page may be closed meanwhile.',
    range: [
      { name: 'from', label: 'Orders accepted from', hint: 'A day in UTC. Leave it empty for all.', type: 'date' }, { name: 'to_time', label: 'and before', type: 'date' },
      { name: 'source', label: 'Of one shop only' },
    ],
    reason: 'Reason, if there is one', asked: (name) => `${name}: it begins in a moment.`, asOf: (who) => `Asked for by ${who}; ended`, by: (who) => `Asked for by ${who} at`,
    states: { queued: 'begins in a moment', running: 'runs', done: 'done', failed: 'could not tell', cancelled: 'cancelled' }, progress: 'Progress',
    far: (done, of) => `${done.toLocaleString()} of ${of.toLocaleString()} places of the log are read.`, begins: 'It looks what there is to read.',
    again: (n) => `It was begun ${n} times, as the process that ran it has ended.`, run: (name, id) => `${name} ${id}`,
    cancel: { button: 'Cancel …', title: 'Cancel it?', ask: 'It stops within a second or two. What it has found so far is lost.', do: 'Cancel it' },
    audited: (found, accepted, ended, alive, notRequested, broken) => `${found ? `${found.toLocaleString()} ${found === 1 ? 'thing is' : 'things are'} broken` : 'Nothing is broken'}: ` +
      `${accepted.toLocaleString()} accepted = ${ended.toLocaleString()} ended + ${alive.toLocaleString()} alive + ${notRequested.toLocaleString()} not requested + ${broken.toLocaleString()} broken.`,
    verified: (found, rows, lines) => `${found ? `${found.toLocaleString()} ${found === 1 ? 'difference' : 'differences'}` : 'No difference'} in ` +
      `${rows.toLocaleString()} ${rows === 1 ? 'row' : 'rows'} and ${lines.toLocaleString()} lines of the timeline.`,
    facts: { asked_by: 'Asked for by', reason: 'Reason', started_at: 'Began', ended_at: 'Ended', from: 'Orders from', to_time: 'and before', source: 'Shop' },
    counts: {
      audit: { accepted: 'Accepted', relayed: 'In Kafka', under_way: 'On the way there', success: 'Success', failed: 'Failed', outbox: 'In the outbox', held: 'Held', requested: 'Wait for a call',
        parked: 'Wait for a retry', due: 'Retry is due', set_aside: 'Dead letters', not_requested: 'Not requested', broken: 'Broken' },
      verify: { rows: 'Rows', rows_differ: 'Rows that differ', rows_only_in_table: 'Rows only in the table', rows_only_in_log: 'Rows only in the log', timeline: 'Lines of timelines',
        timeline_differ: 'Lines that differ', timeline_only_in_table: 'Lines only in the table', timeline_only_in_log: 'Lines only in the log', dead_letters: 'Dead letters' },
    },
    findings: (n, shown) => (n > shown ? `The first ${shown} of ${n.toLocaleString()} findings` : 'What was found'), findingsOf: 'What was found', findingColumns: ['Order', 'What', 'What it means, and what to do'],
    sync: (id) => `sync ${id}`, columns: ['Asked for', 'Run', 'Result', 'By', 'Took'], inNoTime: 'under 1 s',
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
    once: 'This is the only time that the token is shown. Copy it now.', made: (name) => `The token of ${name}`,
    revoke: { button: 'Revoke …', title: 'Revoke the token?', ask: (name) => `Every process refuses the token of ${name} within two seconds. That cannot be taken back.`, do: 'Revoke', done: (name) => `The token of ${name} is revoked.` },
    meanings: {
      config: 'see and change settings', erp_address: 'with config: change the address of the ERP', manage: 'all about orders and dead letters; see what was sent', publish: 'publish events',
      resync: 'send orders again', sync: 'send orders', tokens: 'make and revoke tokens', view_status: 'see orders',
    },
  },
};
