// The stream of figures. The browser comes again by itself when the connection breaks, but not when the server answers with a refusal;
// this does both, with pauses that grow.

const longestPause = 30_000;

export class Stream {
  #url;
  #handlers;
  #onState;
  #source = null;
  #pause = 1000;
  #lastEvent = 0;
  #silence = 5000;

  // handlers: by name of event, with the parsed data. onState: 'connecting', 'live' or 'lost', and for how many milliseconds.
  constructor(url, handlers, onState) {
    this.#url = url;
    this.#handlers = handlers;
    this.#onState = onState;
    setInterval(() => this.#watch(), 1000);
    this.#open();
  }

  expectEvery(seconds) {
    this.#silence = Math.max(5000, seconds * 3000);
  }

  #open() {
    const source = new EventSource(this.#url);
    this.#source = source;
    for (const [name, handler] of Object.entries(this.#handlers)) {
      source.addEventListener(name, event => {
        this.#lastEvent = performance.now();
        this.#pause = 1000;
        handler(JSON.parse(event.data));
        this.#onState('live', 0);
      });
    }
    source.addEventListener('error', () => {
      if (source.readyState === EventSource.CLOSED && this.#source === source) {
        this.#source = null;
        setTimeout(() => this.#open(), this.#pause);
        this.#pause = Math.min(longestPause, this.#pause * 2);
      }
    });
  }

  #watch() {
    const silent = performance.now() - this.#lastEvent;
    if (silent > this.#silence) {
      this.#onState(this.#lastEvent === 0 && silent < 10_000 ? 'connecting' : 'lost', silent);
    }
  }
}
