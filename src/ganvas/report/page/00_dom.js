// Small tools: elements made without innerHTML (no text of a run is ever parsed as HTML).

const $ = (selector, root = document) => root.querySelector(selector);

/** A new element; `props` are properties, or attributes where they hold a dash; null is left out. */
function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined) continue;
    if (key.includes("-") || key === "role") node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An own property, so that a key called `__proto__` is a key like another. */
const get = (object, key) => (object && Object.hasOwn(object, key) ? object[key] : undefined);
