import { byId, svg, mark, write } from './dom.js';
import { age } from './format.js';

const width = 600;
const height = 150;
const strokes = 6;

// The pressure of the last minutes, one line per signal.
export class PressurePlot {
  #plot = byId('pressure-plot');
  #lines = new Map();
  #points = [];
  #seconds = 300;
  #gap = 5000;

  constructor() {
    for (const share of [0.25, 0.5, 0.75]) {
      this.#plot.append(svg('line', { class: 'grid', x1: 0, x2: width, y1: height * share, y2: height * share }));
    }
  }

  begin(seconds, interval, points) {
    this.#seconds = seconds;
    this.#gap = Math.max(5000, interval * 3500);
    this.#points = points;
  }

  add(at, signals) {
    const values = Object.fromEntries(signals.map(signal => [signal.name, signal.value]));
    this.#points = this.#points.filter(point => point.t > at - this.#seconds * 1000 && point.t < at);
    this.#points.push({ t: at, values });
    this.#draw(at, signals.map(signal => signal.name));
  }

  // Which stroke a signal has, for its legend.
  strokeOf(name) {
    if (!this.#lines.has(name)) {
      const stroke = `stroke-${this.#lines.size % strokes + 1}`;
      this.#lines.set(name, { stroke, group: this.#plot.appendChild(svg('g')) });
    }
    return this.#lines.get(name).stroke;
  }

  #draw(now, names) {
    const top = Math.max(1, ...this.#points.flatMap(point => Object.values(point.values)));
    const from = now - this.#seconds * 1000;
    for (const name of names) {
      const stroke = this.strokeOf(name);
      const pieces = [];
      let last = -Infinity;
      for (const point of this.#points) {
        const value = point.values[name];
        if (!Number.isFinite(value)) {
          continue;
        }
        if (point.t - last > this.#gap) {
          pieces.push([]);
        }
        last = point.t;
        const x = (point.t - from) / (this.#seconds * 1000) * width;
        const y = height - 2 - Math.max(0, value) / top * (height - 4);
        pieces[pieces.length - 1].push(`${x.toFixed(1)},${y.toFixed(1)}`);
      }
      this.#redraw(this.#lines.get(name).group, stroke, pieces);
    }
    write(byId('pressure-top'), top === 1 ? '1' : top.toFixed(1));
    write(byId('pressure-from'), `${age(this.#seconds)} ago`);
  }

  #redraw(group, stroke, pieces) {
    while (group.childElementCount > pieces.length) {
      group.lastElementChild.remove();
    }
    pieces.forEach((piece, index) => {
      const line = group.children[index] ?? group.appendChild(svg('polyline', { class: stroke }));
      mark(line, 'points', piece.join(' '));
    });
  }
}

// A small line with the ground under it filled, newest at the right. The top is what is given, or the most that was seen.
export class Spark {
  root = svg('svg', { class: 'spark', viewBox: '0 0 60 10', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  #ground = this.root.appendChild(svg('polygon'));
  #line = this.root.appendChild(svg('polyline'));
  #values = [];

  add(value, top = Math.max(1e-9, ...this.#values.filter(Number.isFinite), value ?? 0)) {
    this.#values.push(value ?? null);
    if (this.#values.length > 61) {
      this.#values.shift();
    }
    const first = 61 - this.#values.length;
    const points = this.#values
      .map((share, index) => share === null ? null : [first + index, 9.5 - Math.min(1, Math.max(0, share / top)) * 9])
      .filter(point => point !== null);
    if (points.length > 0 && points[0][0] > 0) {
      points.unshift([0, points[0][1]]); // before the page was opened: as it was found
    }
    const text = points.map(([x, y]) => `${x},${y.toFixed(1)}`).join(' ');
    mark(this.#line, 'points', text);
    mark(this.#ground, 'points', points.length > 0 ? `0,10 ${text} ${points[points.length - 1][0]},10` : '');
  }
}
