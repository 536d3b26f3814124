import { html } from './lib/preact.js';
import { texts } from './texts.js';

export const tones = { success: 'good', failed: 'bad', pending: 'warn', queued: 'info', in_progress: 'info' };

export const Badge = ({ status }) => html`<span class="badge ${tones[status] || ''}">${texts.statuses[status] || status}</span>`;
