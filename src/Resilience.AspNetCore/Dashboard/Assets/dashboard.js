import { CacheDialog } from './caches.js';
import { byId, mark, write } from './dom.js';
import { Features } from './features.js';
import { age } from './format.js';
import { Glance } from './glance.js';
import { Admission, Audit, Caches, Findings, Pools, Pressure, Scopes } from './panels.js';
import { Stream } from './stream.js';
import { Switches } from './switches.js';

const features = new Features((name, opener) => switches.open(name, opener));
const switches = new Switches(features);
const findings = new Findings();
const glance = new Glance();
const pressure = new Pressure();
const admission = new Admission();
const pools = new Pools();
const cacheDialog = new CacheDialog();
const caches = new Caches((name, opener) => cacheDialog.open(name, opener));
const scopes = new Scopes();
const audit = new Audit();
const connection = byId('connection');
let now = new Date();
let instance = '';

const stream = new Stream('events', {
  hello(message) {
    write(byId('application'), message.application);
    instance = message.instance;
    pressure.plot.begin(message.historySeconds, message.intervalSeconds, message.history);
    stream.expectEvery(message.intervalSeconds);
    switches.askForToken();
  },
  features(message) {
    features.take(message.features);
  },
  audit(entries) {
    audit.take(entries);
  },
  figures(figures) {
    now = new Date(figures.now);
    write(byId('instance'), `${instance}, up ${age(figures.uptimeSeconds)}`);
    findings.take(figures.findings);
    glance.take(figures);
    pressure.take(figures.pressure, now);
    admission.take(figures.admission);
    pools.take(figures.pools);
    caches.take(figures.caches);
    cacheDialog.take(figures.caches, now);
    scopes.take(figures.scopes);
    features.tick(now);
  },
}, (state, silent) => {
  mark(connection, 'data-state', state);
  document.body.classList.toggle('stale', state === 'lost');
  write(connection, state === 'live' ? 'Live' : state === 'connecting' ? 'Connecting…' : `No figures for ${age(Math.floor(silent / 1000))}`);
});
