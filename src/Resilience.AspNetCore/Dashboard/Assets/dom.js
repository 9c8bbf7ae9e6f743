// What the page needs of a framework: making nodes, writing text only when it differs, and lists whose nodes are kept by key.
// Nothing here takes markup; whatever a name or a reason contains becomes a text node.

export const byId = id => document.getElementById(id);

export function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function svg(tag, attributes = {}) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  return made;
}

export function write(target, text) {
  const value = String(text);
  if (target.textContent !== value) {
    target.textContent = value;
  }
}

export function mark(target, name, value) {
  if (value === null || value === undefined) {
    if (target.hasAttribute(name)) {
      target.removeAttribute(name);
    }
  } else if (target.getAttribute(name) !== value) {
    target.setAttribute(name, value);
  }
}

export function say(text) {
  write(byId('announce'), text);
}

// Keeps one node per key in the order of the items, and moves as few of them as it can, so that focus, an open <details> and the place of scrolling stay.
export class KeyedList {
  #parent;
  #create;
  #rows = new Map();

  // create(item) returns { root, update(item) }.
  constructor(parent, create) {
    this.#parent = parent;
    this.#create = create;
  }

  render(items, keyOf) {
    const wanted = new Set();
    for (const item of items) {
      wanted.add(keyOf(item));
    }
    for (const [key, row] of this.#rows) {
      if (!wanted.has(key)) {
        row.root.remove();
        this.#rows.delete(key);
      }
    }

    let place = this.#parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      let row = this.#rows.get(key);
      if (!row) {
        row = this.#create(item);
        this.#rows.set(key, row);
      }
      if (row.item !== item) {
        row.item = item;
        row.update(item);
      }
      if (row.root === place) {
        place = place.nextElementSibling;
      } else {
        this.#parent.insertBefore(row.root, place);
      }
    }
  }

  rows() {
    return this.#rows.values();
  }
}
