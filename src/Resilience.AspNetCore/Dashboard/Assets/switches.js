import { byId, say, write } from './dom.js';
import { time } from './format.js';

// The dialog that overrides a feature for a while. Without a token, which only those who may change something get, there are no switches.
export class Switches {
  #dialog = byId('switch');
  #form = this.#dialog.querySelector('form');
  #features;
  #token = null;
  #opener = null;
  #name = '';

  constructor(features) {
    this.#features = features;
    this.#form.addEventListener('submit', event => {
      event.preventDefault();
      this.#submit(event.submitter?.value ?? 'override');
    });
    this.#form.addEventListener('input', () => write(byId('switch-problem'), ''));
    byId('switch-cancel').addEventListener('click', () => this.#dialog.close());
    this.#dialog.addEventListener('close', () => this.#opener?.focus());
    for (const button of this.#form.querySelectorAll('[data-minutes]')) {
      button.addEventListener('click', () => {
        byId('switch-minutes').value = button.dataset.minutes;
      });
    }
  }

  // Asks whether this user may change something. A refusal, or a redirection to a login page, means no.
  async askForToken() {
    try {
      const answer = await fetch('token', { redirect: 'manual', cache: 'no-store' });
      this.#token = answer.ok ? await answer.json() : null;
    } catch {
      this.#token = null; // the connection broke; the stream tells so, and the next hello asks again
    }
    document.body.classList.toggle('can-change', this.#token !== null);
    if (this.#token) {
      byId('switch-minutes').max = this.#token.maxMinutes;
      write(byId('switch-user'), this.#token.user);
    }
    return this.#token !== null;
  }

  open(name, opener) {
    const feature = this.#features.get(name);
    this.#name = name;
    this.#opener = opener;
    this.#form.reset();
    byId('switch-minutes').value = Math.min(30, this.#token?.maxMinutes ?? 30);
    write(byId('switch-title'), `Override ${name}`);
    write(byId('switch-now'), `It is ${feature.state} now. ${feature.source === 'Default' ? '' : feature.reason}`);
    byId('switch-critical').hidden = !feature.securityCritical;
    byId('switch-restore').hidden = feature.source !== 'Override';
    write(byId('switch-problem'), '');
    const other = feature.state === 'Normal' ? 'Off' : 'Normal';
    this.#form.querySelector(`[name="state"][value="${other}"]`).checked = true;
    this.#dialog.showModal();
    byId('switch-reason').focus();
  }

  async #submit(action) {
    const data = new FormData(this.#form);
    const reason = String(data.get('reason')).trim();
    const minutes = Number(data.get('minutes'));
    if (action === 'override' && !(Number.isInteger(minutes) && minutes >= 1 && minutes <= this.#token.maxMinutes)) {
      return this.#complain(`Give whole minutes from 1 to ${this.#token.maxMinutes}.`, 'switch-minutes');
    }
    if (reason.length < 3) {
      return this.#complain('Say why: the next one on duty will ask.', 'switch-reason');
    }

    const body = action === 'override' ? { state: data.get('state'), minutes, reason } : { reason };
    this.#busy(true);
    try {
      const refusal = await this.#send(action, body);
      if (refusal) {
        this.#complain(refusal, 'switch-reason');
        return;
      }
      this.#dialog.close();
      const until = new Date(Date.now() + minutes * 60_000);
      say(action === 'override' ? `${this.#name} is ${body.state} until ${time(until, until)}.` : `The override of ${this.#name} has ended.`);
    } catch {
      this.#complain('The server cannot be reached: nothing is known to have changed.', 'switch-reason');
    } finally {
      this.#busy(false);
    }
  }

  // Returns what is wrong, or null. A token that has grown old is renewed once.
  async #send(action, body, isSecond = false) {
    const answer = await fetch(`features/${encodeURIComponent(this.#name)}/${action}`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'Content-Type': 'application/json', 'X-Resilience-Token': this.#token?.token ?? '' },
      body: JSON.stringify(body),
    });
    if (answer.ok) {
      return null;
    }
    const problem = await answer.json().catch(() => ({}));
    if (problem.field === 'token' && !isSecond && await this.askForToken()) {
      return this.#send(action, body, true);
    }
    return problem.problem ?? 'You may not change anything (any more): sign in again.';
  }

  #complain(text, field) {
    write(byId('switch-problem'), text);
    byId(field).focus();
  }

  #busy(isBusy) {
    for (const button of this.#form.querySelectorAll('button')) {
      button.disabled = isBusy;
    }
  }
}
