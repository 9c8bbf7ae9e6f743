import { KeyedList, byId, mark, node, say, svg, write } from './dom.js';
import { age, count, level, percent, rate, time } from './format.js';
import { PressurePlot, Spark } from './plot.js';

const tones = { Critical: 'bad', High: 'bad', Elevated: 'warn', Normal: null };

export class Findings {
  #list = new KeyedList(document.querySelector('.findings'), () => {
    const severity = node('span', { class: 'severity' });
    const subject = node('a');
    const text = node('span', { class: 'text' });
    const root = node('li', {}, severity, subject, text);
    return {
      root,
      update: item => {
        mark(root, 'data-severity', item.severity);
        write(severity, item.severity);
        write(subject, item.subject);
        mark(subject, 'href', document.getElementById(item.area) ? `#${item.area}` : '#findings');
        write(text, item.text);
      },
    };
  });
  #critical = 0;

  take(findings) {
    // Several findings may be about one subject: the key is the subject and its number.
    const seen = new Map();
    for (const finding of findings) {
      const subject = `${finding.severity} ${finding.area} ${finding.subject}`;
      seen.set(subject, (seen.get(subject) ?? 0) + 1);
      finding.key = `${subject} ${seen.get(subject)}`;
    }
    this.#list.render(findings, finding => finding.key);
    document.querySelector('.calm').hidden = findings.length > 0;
    const bad = new Set(findings.filter(finding => finding.severity === 'Critical').map(finding => finding.area));
    for (const link of document.querySelectorAll('nav [data-section]')) {
      link.classList.toggle('bad', bad.has(link.dataset.section));
    }
    const critical = findings.filter(finding => finding.severity === 'Critical');
    if (critical.length > this.#critical) {
      say(`${critical.length} critical: ${critical[0].subject} ${critical[0].text}`);
    }
    this.#critical = critical.length;
    document.title = `${critical.length > 0 ? `(${critical.length}) ` : ''}${byId('application').textContent}`;
  }
}

export class Pressure {
  plot = new PressurePlot();
  #signals = new KeyedList(document.querySelector('#signals tbody'), signal => {
    const swatch = svg('svg', { class: 'swatch', viewBox: '0 0 26 10', 'aria-hidden': 'true' });
    swatch.append(svg('line', { class: this.plot.strokeOf(signal.name), x1: 0, x2: 26, y1: 5, y2: 5 }));
    const name = node('span');
    const value = node('td', { class: 'number' });
    const pill = node('span', { class: 'pill' });
    return {
      root: node('tr', {}, node('td', {}, swatch, name), value, node('td', {}, pill)),
      update: item => {
        write(name, item.name);
        write(value, level(item.value));
        write(pill, item.level);
        mark(pill, 'data-tone', tones[item.level]);
      },
    };
  });

  take(pressure, now) {
    byId('pressure').hidden = !pressure;
    if (!pressure) {
      return;
    }
    write(byId('pressure-level'), pressure.level);
    mark(byId('pressure-level'), 'data-tone', tones[pressure.level]);
    this.plot.add(now.getTime(), pressure.signals);
    this.#signals.render(pressure.signals, signal => signal.name);
  }
}

export class Admission {
  #list = new KeyedList(document.querySelector('#admission tbody'), () => {
    const cells = [node('td'), node('td', { class: 'number' }), node('td', { class: 'number' }), node('td')];
    return {
      root: node('tr', {}, ...cells),
      update: item => {
        write(cells[0], item.priority);
        write(cells[1], item.limit > 1e6 ? 'any' : count(item.limit));
        write(cells[2], rate(item.admittedPerSecond));
        write(cells[3], rate(item.refusedPerSecond));
        cells[3].className = `number ${item.refusedPerSecond > 0 ? 'bad' : 'zero'}`;
      },
    };
  });

  take(admission) {
    byId('admission').hidden = !admission;
    if (admission) {
      write(byId('admission-state'), admission.isHot ? 'Overloaded' : 'Open');
      mark(byId('admission-state'), 'data-tone', admission.isHot ? 'bad' : null);
      write(byId('admission-inside'), `${count(admission.inside)} inside`);
      this.#list.render(admission.classes, item => item.priority);
    }
  }
}

export class Pools {
  #list = new KeyedList(document.querySelector('.pools'), () => {
    const name = node('span', { class: 'name' });
    const parts = ['leased', 'busy', 'idle'].map(part => node('div', { class: part }));
    const bar = node('div', { class: 'bar', role: 'img' }, ...parts);
    const figures = node('span');
    const pill = node('span', { class: 'pill' });
    const notes = node('div', { class: 'pool-notes' });
    const noted = new KeyedList(notes, noteRow);
    const summary = node('summary');
    const list = node('ol');
    const holders = new KeyedList(list, heldRow);
    const details = node('details', { class: 'holders' }, summary, list);
    return {
      root: node('li', {}, node('div', { class: 'pool-line' }, name, bar, figures, pill), notes, details),
      update: pool => {
        write(name, pool.name);
        const shares = [pool.leased, pool.busy, pool.idle];
        parts.forEach((part, index) => {
          part.style.width = `${shares[index] / Math.max(1, pool.maxSize) * 100}%`;
        });
        mark(bar, 'data-tone', pool.waiting > 0 && pool.leased >= pool.limit ? 'bad' : null);
        mark(bar, 'aria-label', `${pool.leased} leased, ${pool.busy} in preparation, ${pool.idle} idle of ${pool.maxSize}`);
        write(figures, `${count(pool.leased)} / ${count(pool.limit)} leased`);
        write(pill, pool.isClosed ? 'Closed' : pool.backend);
        mark(pill, 'data-tone', pool.isClosed || pool.backend === 'Down' ? 'bad' : pool.backend === 'Failing' ? 'warn' : null);
        noted.render([
          { text: `${count(pool.waiting)} waiting`, tone: pool.waiting > 0 ? 'bad' : '' },
          { text: `${count(pool.idle)} idle`, tone: '' },
          ...(pool.busy > 0 ? [{ text: `${count(pool.busy)} in preparation`, tone: '' }] : []),
          { text: `${count(pool.timeouts)} timeouts`, tone: '' },
          { text: `${count(pool.leaks)} leaks`, tone: pool.leaks > 0 ? 'warn' : '' },
          ...(pool.yields ? [{ text: 'served by priority alone', tone: 'warn' }] : []),
          ...(pool.createFailures > 0 ? [{ text: `${count(pool.createFailures)} creations failed in a row`, tone: 'bad' }] : []),
        ].map((note, index) => ({ ...note, index })), note => note.index);
        details.hidden = pool.holders.length === 0;
        const oldest = pool.holders[0];
        write(summary, oldest ? `Oldest lease ${age(oldest.ageSeconds)}${oldest.where ? ` at ${oldest.where}` : ''}` : '');
        holders.render(pool.holders.map((holder, index) => ({ ...holder, index })), holder => holder.index);
      },
    };
  });

  take(pools) {
    byId('pools').hidden = !pools;
    if (pools) {
      pools.sort((a, b) => urgency(b) - urgency(a) || (a.name < b.name ? -1 : 1));
      this.#list.render(pools, pool => pool.name);
      write(document.querySelector('#pools .count'), count(pools.length));
      document.querySelector('#pools .empty').hidden = pools.length > 0;
    }
  }
}

export class Caches {
  #all = [];
  #filter = '';
  #onOpen;
  #list = new KeyedList(document.querySelector('table.caches tbody'), () => {
    const cells = {};
    const root = node('tr');
    const cell = (key, label, isNumber = true) => {
      cells[key] = node('td', { ...(isNumber ? { class: 'number' } : {}), ...(label ? { 'data-label': label } : {}) });
      root.append(cells[key]);
    };
    cell('name', '', false);
    cell('reads', 'reads/s');
    cell('local', 'local', false);
    cell('shared', 'shared');
    cell('loads', 'loads/s');
    cell('failures', 'failures/s');
    cell('flights', 'flights');
    cell('stale', 'stale/s');
    cell('refused', 'refused/s');
    cell('entries', 'entries');
    cell('tier', 'shared tier', false);
    cell('guard', 'guard', false);
    cells.name.setAttribute('role', 'rowheader');
    const name = node('button', { type: 'button', class: 'plain', 'aria-haspopup': 'dialog' });
    name.addEventListener('click', () => this.#onOpen(name.textContent, name));
    const first = node('span', { class: 'pill', 'data-tone': 'warn', title: 'Its feature is lowered: stale copies are served first, loads run in the background.' }, 'stale first');
    cells.name.append(name, ' ', first);
    const spark = new Spark();
    const ratio = node('span');
    cells.local.append(node('span', { class: 'ratio' }, spark.root, ratio));
    const figure = (key, value, tone, text = rate(value)) => {
      write(cells[key], text);
      cells[key].className = `number ${value === 0 ? 'zero' : tone}`;
      mark(cells[key], 'data-empty', value === 0 ? '' : null);
    };
    return {
      root,
      update: cache => {
        write(name, cache.name);
        first.hidden = !cache.servesStaleFirst;
        figure('reads', cache.readsPerSecond, '');
        spark.add(cache.localHitRatio, 1);
        write(ratio, percent(cache.localHitRatio));
        write(cells.shared, percent(cache.sharedHitRatio));
        figure('loads', cache.loadsPerSecond, '');
        figure('failures', cache.failuresPerSecond, 'bad');
        figure('flights', cache.flights, '', count(cache.flights));
        figure('stale', cache.stalePerSecond, 'warn');
        figure('refused', cache.refusedPerSecond, '');
        write(cells.entries, count(cache.entries));
        write(cells.tier, cache.sharedTier === 'None' ? '–' : cache.sharedTier === 'Closed' ? 'Up' : cache.sharedTier);
        cells.tier.className = cache.sharedTier === 'Open' || cache.sharedTier === 'Probing' ? 'bad' : 'zero';
        mark(cells.tier, 'data-empty', cache.sharedTier === 'None' ? '' : null);
        write(cells.guard, cache.guard ? cache.guard.state : '–');
        cells.guard.className = !cache.guard ? 'zero' : cache.guard.state === 'Contradicted' ? 'bad' : ['Ready', 'Loading', 'Off'].includes(cache.guard.state) ? '' : 'warn';
        mark(cells.guard, 'title', cache.guard ? `${count(cache.guard.keys)} keys, estimated false positives ${percent(cache.guard.falsePositiveRate)}, ${count(cache.guard.contradictions)} contradictions` : null);
        mark(cells.guard, 'data-empty', cache.guard ? null : '');
      },
    };
  });

  constructor(onOpen) {
    this.#onOpen = onOpen;
    byId('caches-filter').addEventListener('input', event => {
      this.#filter = event.target.value.trim().toLowerCase();
      this.#render();
    });
  }

  take(caches) {
    byId('caches').hidden = !caches;
    if (caches) {
      this.#all = caches;
      this.#render();
    }
  }

  #render() {
    const shown = this.#all.filter(cache => cache.name.toLowerCase().includes(this.#filter));
    shown.sort((a, b) => trouble(b) - trouble(a) || (a.name < b.name ? -1 : 1));
    this.#list.render(shown, cache => cache.name);
    write(document.querySelector('#caches .count'), count(this.#all.length));
    document.querySelector('#caches .empty').hidden = shown.length > 0;
  }
}

export class Scopes {
  #last = new KeyedList(byId('scopes-last'), leakRow);
  #oldest = new KeyedList(byId('scopes-oldest'), leakRow);

  take(scopes) {
    byId('scopes').hidden = !scopes;
    if (scopes) {
      write(document.querySelector('#scopes .count'), `${count(scopes.live)} live`);
      write(byId('scopes-leaks'), count(scopes.leaks));
      this.#last.render(scopes.lastLeaks.map((leak, index) => ({ ...leak, index })), leak => leak.index);
      this.#oldest.render(scopes.oldest.map((leak, index) => ({ ...leak, index })), leak => leak.index);
    }
  }
}

export class Audit {
  #list = new KeyedList(document.querySelector('.audit'), () => {
    const at = node('time');
    const what = node('span');
    return {
      root: node('li', {}, at, what),
      update: entry => {
        const now = new Date();
        write(at, time(entry.at, now));
        mark(at, 'datetime', entry.at);
        write(what, `${entry.who}: ${entry.feature} ${entry.what}${entry.until ? ` until ${time(entry.until, now)}` : ''}. ${entry.why}`);
      },
    };
  });

  take(entries) {
    this.#list.render(entries, entry => `${entry.at} ${entry.feature} ${entry.what}`);
    document.querySelector('#audit .empty').hidden = entries.length > 0;
  }
}

function noteRow() {
  const root = node('span');
  return {
    root,
    update: note => {
      write(root, note.text);
      root.className = note.tone;
    },
  };
}

function heldRow() {
  const held = node('span', { class: 'age' });
  const where = node('span');
  const stack = node('pre');
  return {
    root: node('li', {}, held, where, stack),
    update: holder => {
      write(held, age(holder.ageSeconds));
      write(where, holder.where || 'unknown place');
      write(stack, holder.stack ?? '');
      stack.hidden = !holder.stack;
    },
  };
}

function leakRow() {
  const held = node('span', { class: 'age' });
  const kind = node('span');
  const where = node('span');
  const stack = node('pre');
  return {
    root: node('li', {}, held, kind, where, stack),
    update: leak => {
      write(held, age(leak.ageSeconds));
      write(kind, leak.kind);
      write(where, leak.where);
      write(stack, leak.stack ?? '');
      stack.hidden = !leak.stack;
    },
  };
}

function urgency(pool) {
  return (pool.backend === 'Down' ? 1e6 : 0) + pool.waiting;
}

function trouble(cache) {
  return (cache.sharedTier === 'Open' || cache.sharedTier === 'Probing' ? 8 : 0) + (cache.failuresPerSecond > 0 ? 4 : 0)
    + (cache.servesStaleFirst || cache.stalePerSecond > 0 ? 2 : 0) + (cache.readsPerSecond > 0 ? 1 : 0);
}
