// Small tools: elements made without innerHTML (no text of a run is ever parsed as HTML).

const $ = (selector, root = document) => root.querySelector(selector);

/** A new element; `props` are properties, or attributes where they hold a dash; null: none. */
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

/** Text for plotly, which reads a few HTML tags and entities in its labels. */
const esc = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;")
  .replaceAll(">", "&gt;");

const MISSING = "–";

/** A config value or number as a person writes it; strings stay as they are. */
function show(value) {
  if (value === null || value === undefined) return MISSING;
  if (typeof value === "number") return figure(value);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A number with about five digits; whole numbers whole. */
function figure(value) {
  if (value === undefined || value === null) return MISSING;
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").toLowerCase();
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return String(value);
  if (size >= 1e6 || size < 1e-3) return String(Number(value.toExponential(3)));
  return size >= 1000 ? value.toFixed(1) : String(Number(value.toPrecision(5)));
}

/** Decimal places that suit a column of numbers: four digits of the largest, and two places. */
function placesOf(numbers) {
  const finite = numbers.filter(Number.isFinite);
  if (finite.every(Number.isInteger)) return 0;
  const largest = Math.max(...finite.map(Math.abs));
  return Math.min(6, Math.max(largest < 1e4 ? 2 : 0, 3 - Math.floor(Math.log10(largest))));
}

/** A number to so many places, unless that would lose what it has. */
const aligned = (value, places) => !Number.isFinite(value) || Math.abs(value) >= 1e7
  || (value !== 0 && Math.abs(value) < 10 ** (1 - places)) ? figure(value) : value.toFixed(places);

/** "−26.83 ± 0.12": the error with two digits, the mean to the same place. */
function plusMinus(mean, error) {
  if (!Number.isFinite(mean) || !Number.isFinite(error)) return figure(mean);
  if (error === 0) return `${figure(mean)} ± 0`;
  const places = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(error))));
  return error >= 1e6 || error < 1e-6
    ? `${figure(mean)} ± ${figure(error)}`
    : `${mean.toFixed(places)} ± ${error.toFixed(places)}`;
}

function duration(seconds) {
  if (!Number.isFinite(seconds)) return MISSING;
  if (seconds < 120) return `${Number(seconds.toPrecision(3))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const memory = (mib) => !Number.isFinite(mib) ? MISSING
  : mib < 1024 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`;

/** "2026-11-22 00:30 UTC" of an ISO time. */
const moment = (iso) => iso
  ? `${iso.slice(0, 16).replace("T", " ")}${/(Z|\+00:00)$/.test(iso) ? " UTC" : iso.slice(19)}`
  : MISSING;

const plural = (n, word, many = `${word}s`) => `${n} ${n === 1 ? word : many}`;
