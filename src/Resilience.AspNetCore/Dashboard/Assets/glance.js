import { byId, mark, node, write } from './dom.js';
import { count, level, percent, rate } from './format.js';
import { Spark } from './plot.js';

// The whole service in one line of tiles: what one looks at first, and from across the room.
export class Glance {
  #tiles = new Map();

  constructor() {
    for (const [key, label, section] of [
      ['pressure', 'Pressure', 'pressure'], ['requests', 'Requests', 'pressure'], ['features', 'Features', 'features'],
      ['pools', 'Fullest pool', 'pools'], ['caches', 'Local hits', 'caches'], ['scopes', 'Live scopes', 'scopes'],
    ]) {
      const figure = node('strong');
      const note = node('small');
      const spark = new Spark();
      const root = node('li', { hidden: '' }, node('a', { href: `#${section}` }, node('span', {}, label), figure, note, spark.root));
      byId('glance').append(root);
      this.#tiles.set(key, { root, figure, note, spark });
    }
  }

  take({ pressure, admission, features, pools, caches, scopes }) {
    this.#show('pressure', pressure && this.#pressure(pressure));
    this.#show('requests', admission && this.#requests(admission));
    this.#show('features', features && this.#features(features));
    this.#show('pools', pools?.length && this.#pools(pools));
    this.#show('caches', caches?.length && this.#caches(caches));
    this.#show('scopes', scopes && {
      figure: count(scopes.live), note: `${count(scopes.leaks)} leaked`, tone: scopes.leaks > 0 ? 'warn' : null, value: scopes.live,
    });
  }

  #show(key, tile) {
    const { root, figure, note, spark } = this.#tiles.get(key);
    root.hidden = !tile;
    if (tile) {
      write(figure, tile.figure);
      write(note, tile.note);
      mark(root, 'data-tone', tile.tone);
      spark.add(tile.value, tile.top);
    }
  }

  #pressure(pressure) {
    const loudest = pressure.signals.find(signal => signal.name === pressure.loudest)
      ?? pressure.signals.reduce((most, signal) => (most?.value ?? -1) >= signal.value ? most : signal, null);
    return {
      figure: pressure.level,
      note: loudest ? `${loudest.name} ${level(loudest.value)}` : 'no signal',
      tone: pressure.level === 'Normal' ? null : pressure.level === 'Elevated' ? 'warn' : 'bad',
      value: loudest?.value ?? 0,
      top: 1,
    };
  }

  #requests(admission) {
    const admitted = admission.classes.reduce((sum, line) => sum + line.admittedPerSecond, 0);
    const refused = admission.classes.reduce((sum, line) => sum + line.refusedPerSecond, 0);
    return {
      figure: `${rate(admitted)}/s`,
      note: refused > 0 ? `${rate(refused)}/s refused` : `${count(admission.inside)} inside, none refused`,
      tone: refused > 0 ? 'bad' : admission.isHot ? 'warn' : null,
      value: admitted,
    };
  }

  #features(features) {
    const lowered = features.off + features.degraded;
    return {
      figure: lowered === 0 ? 'All normal' : `${count(lowered)} lowered`,
      note: lowered === 0 ? `${count(features.all)} declared` : `${count(features.off)} off, ${count(features.degraded)} degraded of ${count(features.all)}`,
      tone: features.off > 0 ? 'bad' : lowered > 0 ? 'warn' : null,
      value: lowered,
    };
  }

  #pools(pools) {
    const fullest = pools.reduce((most, pool) => wanted(pool) > wanted(most) ? pool : most);
    const waiting = pools.reduce((sum, pool) => sum + pool.waiting, 0);
    return {
      figure: `${count(fullest.leased)}/${count(fullest.limit)}`,
      note: `${fullest.name}${waiting > 0 ? `, ${count(waiting)} waiting` : ', nobody waits'}`,
      tone: waiting > 0 || fullest.backend === 'Down' ? 'bad' : null,
      value: fullest.leased / Math.max(1, fullest.limit),
      top: 1,
    };
  }

  #caches(caches) {
    const reads = caches.reduce((sum, cache) => sum + cache.readsPerSecond, 0);
    const hits = caches.reduce((sum, cache) => sum + cache.readsPerSecond * (cache.localHitRatio ?? 0), 0);
    const stale = caches.reduce((sum, cache) => sum + cache.stalePerSecond, 0);
    return {
      figure: percent(reads > 0 ? hits / reads : null),
      note: `${rate(reads)} reads/s${stale > 0 ? `, ${rate(stale)}/s stale` : ''}`,
      tone: caches.some(cache => cache.sharedTier === 'Open' || cache.sharedTier === 'Probing') ? 'bad' : stale > 0 ? 'warn' : null,
      value: reads > 0 ? hits / reads : null,
      top: 1,
    };
  }
}

function wanted(pool) {
  return (pool.backend === 'Down' ? 1e6 : 0) + (pool.leased + pool.waiting) / Math.max(1, pool.limit);
}
