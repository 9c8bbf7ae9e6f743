import { KeyedList, byId, mark, node, write } from './dom.js';
import { count, left, time } from './format.js';

const tones = { Off: 'bad', Degraded: 'warn', Normal: null };
const sources = { Override: 'Override', Configuration: 'Configuration', Automatic: 'Pressure', Default: 'Declared' };

// All features; those that do less than they should come first.
export class Features {
  #all = new Map();
  #list;
  #now = new Date();
  #show = 'all';
  #filter = '';
  #onSwitch;

  constructor(onSwitch) {
    this.#onSwitch = onSwitch;
    this.#list = new KeyedList(document.querySelector('table.features tbody'), feature => this.#row(feature));
    byId('features-filter').addEventListener('input', event => {
      this.#filter = event.target.value.trim().toLowerCase();
      this.#render();
    });
    const choices = document.querySelectorAll('#features [data-show]');
    for (const choice of choices) {
      choice.addEventListener('click', () => {
        this.#show = choice.dataset.show;
        choices.forEach(other => other.setAttribute('aria-pressed', String(other === choice)));
        this.#render();
      });
    }
  }

  get(name) {
    return this.#all.get(name);
  }

  take(features) {
    byId('features').hidden = false;
    for (const feature of features) {
      feature.text = `${feature.name} ${feature.reason}`.toLowerCase();
      this.#all.set(feature.name, feature);
    }
    this.#render();
  }

  tick(now) {
    const isNewDay = now.toDateString() !== this.#now.toDateString();
    this.#now = now;
    for (const row of this.#list.rows()) {
      if (isNewDay) {
        row.update(row.item); // times of another day are shown with their date
      } else if (row.item.until) {
        row.countDown();
      }
    }
  }

  #render() {
    const shown = [...this.#all.values()].filter(feature =>
      (this.#filter === '' || feature.text.includes(this.#filter))
      && (this.#show === 'all' || (this.#show === 'overridden' ? feature.source === 'Override' : feature.state !== 'Normal')));
    shown.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
    this.#list.render(shown, feature => feature.name);
    write(document.querySelector('#features .count'), count(this.#all.size));
    write(byId('features-hint'), shown.length === this.#all.size ? '' : `${count(shown.length)} of ${count(this.#all.size)} shown`);
    document.querySelector('#features .empty').hidden = shown.length > 0;
  }

  #row(feature) {
    const name = node('td', { role: 'rowheader' });
    const pill = node('span', { class: 'pill' });
    const source = node('span', { class: 'source' });
    const reason = node('span');
    const since = node('td', { class: 'since', 'data-label': 'since' });
    const until = node('td', { class: 'until', 'data-label': 'until' });
    const priority = node('td', { class: 'priority' });
    const button = node('button', { type: 'button', 'aria-haspopup': 'dialog' }, 'Override');
    const root = node('tr', {}, name, node('td', {}, pill), node('td', { class: 'why' }, source, ' ', reason), since, until, priority, node('td', { class: 'switch' }, button));
    button.addEventListener('click', () => this.#onSwitch(feature.name, button));
    const row = {
      root,
      item: null,
      update: item => {
        write(name, item.name);
        write(pill, item.state);
        mark(pill, 'data-tone', tones[item.state]);
        write(source, `${sources[item.source]}${item.source === 'Default' ? '' : ':'}`);
        write(reason, item.source === 'Default' ? '' : item.reason);
        write(since, item.source === 'Default' ? '' : time(item.since, this.#now));
        mark(since, 'title', new Date(item.since).toISOString());
        mark(since, 'data-empty', item.source === 'Default' ? '' : null);
        write(priority, item.securityCritical ? `${item.priority}, fails closed` : item.priority);
        mark(button, 'aria-label', `Override ${item.name}`);
        row.countDown();
      },
      countDown: () => {
        const item = row.item;
        const seconds = item.until ? (new Date(item.until) - this.#now) / 1000 : 0;
        write(until, item.until ? `${time(item.until, this.#now)} (${left(seconds)})` : '');
        until.classList.toggle('soon', Boolean(item.until) && seconds < 300);
        mark(until, 'data-empty', item.until ? null : '');
      },
    };
    return row;
  }
}

function rank(feature) {
  return feature.state === 'Off' ? 0 : feature.state === 'Degraded' ? 1 : feature.source === 'Override' ? 2 : 3;
}
