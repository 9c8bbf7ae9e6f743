import { KeyedList, byId, mark, node, write } from './dom.js';
import { age, count, percent, time } from './format.js';

const words = {
  LoadFailed: ['a load failed', 'bad'],
  LoadTimedOut: ['a load was abandoned at its timeout', 'bad'],
  StaleServed: ['a stale copy was served', 'warn'],
  Oversized: ['a value was too large to be kept', 'warn'],
  BadFrame: ['the shared tier had a damaged entry', 'warn'],
  Removed: ['a key was removed', ''],
  Expired: ['a key was expired', ''],
  TagInvalidated: ['a tag was invalidated', ''],
  SharedTierLost: ['the shared tier was lost', 'bad'],
  SharedTierBack: ['the shared tier is back', ''],
  Distrusted: ['an invalidation may have been missed: copies are compared before use', 'warn'],
};

// The dialog about one cache: what happened in it lately and, for those who may, one key of it.
export class CacheDialog {
  #dialog = byId('cache');
  #name = '';
  #opener = null;
  #now = new Date();
  #caches = [];
  #asking = false;
  #asksAgain = false;
  #looks = 0;
  #events = new KeyedList(byId('cache-events'), () => this.#event());
  #keyEvents = new KeyedList(byId('cache-key-events'), () => this.#event());
  #alike = new KeyedList(document.querySelector('#cache-alike ul'), () => this.#entry());
  #hot = new KeyedList(document.querySelector('#cache-hot ul'), () => this.#hotKey());

  constructor() {
    byId('cache-close').addEventListener('click', () => this.#dialog.close());
    byId('cache-look').addEventListener('submit', event => {
      event.preventDefault();
      this.#look(byId('cache-key').value);
    });
    this.#dialog.addEventListener('close', () => {
      const opener = this.#opener;
      this.#opener = null;
      opener?.focus();
    });
  }

  open(name, opener) {
    this.#name = name;
    this.#opener = opener;
    byId('cache-look').reset();
    write(byId('cache-title'), `Cache ${name}`);
    this.#showFigures();
    this.#showEvents([]);
    this.#showKey(null, null);
    this.#dialog.showModal();
    this.#askForEvents();
    if (document.body.classList.contains('can-change')) {
      this.#look('');
    }
  }

  // Called with each reading of the figures.
  take(caches, now) {
    this.#now = now;
    this.#caches = caches ?? [];
    if (this.#dialog.open) {
      this.#showFigures();
      this.#askForEvents();
    }
  }

  #showFigures() {
    const cache = this.#caches.find(one => one.name === this.#name);
    if (cache) {
      const reads = cache.localHitRatio === undefined ? 'no reads lately' : `${percent(cache.localHitRatio)} of reads hit it`;
      const tier = { None: 'no shared tier', Closed: 'shared tier up', Open: 'shared tier away', Probing: 'shared tier being tried' }[cache.sharedTier];
      write(byId('cache-now'), `${count(cache.entries)} ${cache.entries === 1 ? 'entry' : 'entries'} in the local tier, ${reads}; ${tier}.`);
    }
  }

  async #askForEvents() {
    const name = this.#name;
    if (this.#asking) {
      this.#asksAgain = true; // what is under way may be from before the latest reading
      return;
    }
    this.#asking = true;
    this.#asksAgain = false;
    try {
      const answer = await fetch(`caches/events?cache=${encodeURIComponent(name)}`, { redirect: 'manual', cache: 'no-store' });
      if (answer.ok && name === this.#name) {
        this.#showEvents(await answer.json());
      }
    } catch {
      // The connection broke; the stream tells so, and the next reading asks again.
    } finally {
      this.#asking = false;
      if (this.#dialog.open && (this.#asksAgain || name !== this.#name)) {
        this.#askForEvents();
      }
    }
  }

  // Answers may come in another order than the questions were asked: only that of the last one is shown.
  async #look(key) {
    const name = this.#name;
    const look = ++this.#looks;
    write(byId('cache-problem'), '');
    try {
      const answer = await fetch('caches/look', {
        method: 'POST',
        redirect: 'manual',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ cache: name, key }),
      });
      const body = answer.ok ? await answer.json() : await answer.json().catch(() => ({}));
      if (name !== this.#name || look !== this.#looks) {
        return;
      }
      if (answer.ok) {
        this.#showKey(key, body);
      } else {
        write(byId('cache-problem'), body.problem ?? 'You may not look up keys (any more): sign in again.');
      }
    } catch {
      if (look === this.#looks) {
        write(byId('cache-problem'), 'The server cannot be reached.');
      }
    }
  }

  #showEvents(events) {
    // Of several that are alike in one moment each has its number: keys are unique.
    const seen = new Map();
    for (const event of events) {
      const what = `${event.at} ${event.kind}`;
      seen.set(what, (seen.get(what) ?? 0) + 1);
      event.id = `${what} ${seen.get(what)}`;
    }
    this.#events.render(events, event => event.id);
    byId('cache-calm').hidden = events.length > 0;
  }

  #showKey(key, answer) {
    const found = byId('cache-found');
    const entry = answer?.entry;
    write(found, !key ? '' : entry ? this.#describe(entry) : 'Not in the local tier of this process.');
    mark(found, 'data-found', key ? String(Boolean(entry)) : null);
    this.#keyEvents.render((answer?.events ?? []).map((event, id) => ({ ...event, id })), event => event.id);
    this.#alike.render(answer?.alike ?? [], one => one.key);
    this.#hot.render(answer?.hotKeys ?? [], one => one.key);
    byId('cache-alike').hidden = !answer?.alike.length;
    byId('cache-hot').hidden = !answer?.hotKeys.length;
  }

  #describe(entry) {
    const fresh = entry.freshForSeconds > 0 ? `fresh for ${age(entry.freshForSeconds)}` : 'stale';
    const tags = entry.tags.length > 0 ? `, tags ${entry.tags.join(', ')}` : '';
    return `${entry.isAbsent ? 'Remembered as absent' : 'In the local tier'}: made ${age(entry.ageSeconds)} ago, ${fresh}, weight ${count(entry.weight)}${tags}.`;
  }

  #event() {
    const at = node('time');
    const what = node('span');
    return {
      root: node('li', {}, at, what),
      update: event => {
        const [text, tone] = words[event.kind] ?? [event.kind, ''];
        write(at, time(event.at, this.#now));
        mark(at, 'datetime', event.at);
        write(what, `${text}${event.failure ? ` (${event.failure})` : ''}${event.tag ? `: ${event.tag}` : ''}`);
        what.className = tone;
      },
    };
  }

  #entry() {
    const key = node('code');
    const what = node('span', { class: 'quiet' });
    return {
      root: node('li', {}, key, what),
      update: entry => {
        write(key, entry.key);
        write(what, ` ${entry.isAbsent ? 'absent' : `${age(entry.ageSeconds)} old`}`);
      },
    };
  }

  #hotKey() {
    const key = node('code');
    const share = node('span', { class: 'quiet' });
    return {
      root: node('li', {}, key, share),
      update: hot => {
        write(key, hot.key);
        write(share, ` ${percent(hot.share)}`);
      },
    };
  }
}
