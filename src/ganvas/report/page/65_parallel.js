// Parallel coordinates over the keys that differ and the metric, as SVG: plotly's need WebGL,
// which many remote desktops lack, and show no run's name.

const TALL = 330;
const EDGE = { top: 34, bottom: 22, left: 24, right: 96 };
const MOST_TICKS = 14;
const FEW = 8; // different numbers that get a tick each
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** One axis: where a run stands on it (0 bottom, 1 top; null is missing) and its ticks. */
function scale(name, read) {
  const values = page.rows.map(read);
  const some = values.filter((value) => rank(value) !== 2);
  const numeric = some.length > 0 && some.every((value) => Number.isFinite(number(value)));
  return numeric ? numberScale(name, read, some.map(number)) : wordScale(name, read, some);
}

function numberScale(name, read, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const log = low > 0 && high / low >= 50;
  const to = log ? Math.log : (value) => value;
  const span = to(high) - to(low) || 1;
  const place = (value) => (high === low ? 0.5 : (to(value) - to(low)) / span);
  const back = (at) => (log ? Math.exp : (value) => value)(to(low) + at * span);
  const distinct = [...new Set(values)];
  const few = distinct.length <= FEW;
  const ticks = few ? distinct.sort((a, b) => a - b) : [0, 0.25, 0.5, 0.75, 1].map(back);
  return { name, read, back, few, ticks: ticks.map((value) => [place(value), figure(value)]),
    at: (run) => (Number.isFinite(number(read(run))) ? place(number(read(run))) : null) };
}

function wordScale(name, read, values) {
  const distinct = [...new Set(values.map(show))].sort((a, b) => order(a, b));
  const places = new Map(distinct.map((value, i) => [value,
    distinct.length === 1 ? 0.5 : 1 - i / (distinct.length - 1)]));
  const stride = Math.ceil(distinct.length / MOST_TICKS);
  return { name, read, words: true, few: true,
    ticks: distinct.filter((_, i) => i % stride === 0).map((value) => [places.get(value), value]),
    at: (run) => places.get(show(read(run))) ?? null };
}

function drawParallel() {
  const keys = shownKeys().filter((key) => key !== "seed"
    && new Set(page.rows.map((run) => show(setting(run, key)))).size > 1);
  const box = $("#parallel-plot");
  $("#parallel").classList.toggle("bare", !keys.length || !state.metric);
  if (!keys.length || !state.metric || !page.rows.length) {
    $("#parallel-note").textContent = "The runs shown have one config, but for the seed.";
    return box.replaceChildren();
  }
  const axes = keys.map((key) => scale(key, (run) => setting(run, key)));
  axes.push({ ...scale(state.metric, (run) => stored(run, state.metric)), lead: true,
    few: false });
  $("#parallel-note").textContent = `One line per run; the stronger its colour, the ${tone()} its `
    + `${state.metric} (${which()}). Drag along an axis, or click a word on it, to filter; click a `
    + "line for the run. Grey, dashed: no value.";
  return box.replaceChildren(parallelFigure(axes, box.parentElement.clientWidth));
}

const tone = () => ((page.metrics.get(state.metric)?.higher ?? null) === null ? "higher"
  : "better");
const which = () => (state.which === "final" ? "last weights" : "best weights");

/** From 0 (worst) to 1 (best) where the metric has a direction, else from low to high. */
function merit(lead, run) {
  const at = lead.at(run);
  return at !== null && page.metrics.get(state.metric)?.higher === false ? 1 - at : at;
}

/** Lines of runs that share a word or one of few numbers stand a little apart on that axis. */
function apart(one, place, count) {
  const room = (TALL - EDGE.top - EDGE.bottom) / Math.max(1, one.ticks.length - 1);
  return one.few ? (0.5 - place / Math.max(1, count - 1)) * Math.min(30, 0.4 * room, count * 3) : 0;
}

function parallelFigure(axes, room) {
  const wide = Math.max(room - 2, EDGE.left + EDGE.right + (axes.length - 1) * 120);
  const x = axes.map((_, i) => EDGE.left + i * (wide - EDGE.left - EDGE.right)
    / (axes.length - 1));
  const y = (at) => (at === null ? TALL - 8
    : EDGE.top + (1 - at) * (TALL - EDGE.top - EDGE.bottom - 24));
  const lead = axes.at(-1);
  const runs = page.rows.map((run) => [merit(lead, run) ?? -1, run]).sort((a, b) => a[0] - b[0]);
  const lines = runs.map(([good, run], place) => parallelLine(run, good, axes.map((one, i) =>
    [x[i], y(one.at(run)) + apart(one, place, runs.length)])));
  return svg("svg", { width: wide, height: TALL, role: "img",
    "aria-label": `Parallel coordinates of ${plural(page.rows.length, "run")} over `
      + axes.map((one) => one.name).join(", ") },
  svg("g", { class: runs.length > 100 ? "lines many" : "lines" }, ...lines),
  ...axes.map((one, i) => parallelAxis(one, x[i], y)));
}

function parallelLine(run, good, points) {
  const [first, ...rest] = points;
  let [px, py] = first;
  const path = rest.map(([x, y]) => {
    const middle = (px + x) / 2;
    const piece = `C${middle},${py} ${middle},${y} ${x},${y}`;
    [px, py] = [x, y];
    return piece;
  });
  const line = svg("path", { d: `M${first[0]},${first[1]}${path.join("")}`, "data-run": run.id,
    class: state.chosen.has(run.id) ? "chosen" : good < 0 ? "missing" : "" });
  if (good >= 0) {
    line.style.stroke = `color-mix(in oklab, var(--high) ${Math.round(good * 100)}%, var(--low))`;
    line.style.opacity = (page.rows.length > 100 ? 0.25 : 0.6) * (1 - good * good) + good * good;
  }
  line.append(svg("title", {}, `${run.label}\n${state.metric} `
    + show(stored(run, state.metric))));
  line.onclick = () => openSheet(run.id);
  return line;
}

function parallelAxis(one, x, y) {
  const title = svg("text", { x: one.lead ? x + 8 : x, y: 14, class: "title",
    "text-anchor": x < 40 ? "start" : "middle" }, short(one.name, 22));
  title.append(svg("title", {}, one.name));
  const group = svg("g", { class: one.lead ? "axis lead" : "axis" }, title,
    svg("line", { x1: x, x2: x, y1: y(1) - (one.few ? 10 : 0), y2: y(0) + (one.few ? 10 : 0) }));
  let last = Infinity;
  for (const [at, text] of one.ticks) {
    group.append(svg("circle", { cx: x, cy: y(at), r: 2 }));
    if (!one.words && last - y(at) < 13) continue;
    last = y(at);
    const tick = svg("text", { x: x + 6, y: y(at) + 4, class: one.words ? "word" : "" },
      short(text, 18));
    if (one.words && !one.lead) tick.onclick = () => narrow(one.name, [`${one.name}=${text}`]);
    group.append(tick);
  }
  if (page.rows.some((run) => one.at(run) === null)) {
    group.append(svg("text", { x: x + 6, y: y(null) + 4, class: "none" }, "none"));
  }
  if (!one.words) group.append(brush(one, x, y));
  return group;
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

/** A drag along a numeric axis becomes two conditions in the filter. */
function brush(one, x, y) {
  const strip = svg("rect", { x: x - 9, y: y(1), width: 18, height: y(0) - y(1), class: "strip" });
  const band = svg("rect", { x: x - 5, y: 0, width: 10, height: 0, class: "band" });
  let from = null;
  const at = (event) => Math.min(y(0), Math.max(y(1),
    event.clientY - strip.ownerSVGElement.getBoundingClientRect().top));
  strip.onpointerdown = (event) => { from = at(event); strip.setPointerCapture(event.pointerId); };
  strip.onpointermove = (event) => {
    if (from === null) return;
    band.setAttribute("y", Math.min(from, at(event)));
    band.setAttribute("height", Math.abs(from - at(event)));
  };
  strip.onpointerup = (event) => {
    const [top, bottom] = [from, at(event)].sort((a, b) => a - b);
    from = null;
    const value = (place) => one.back((y(0) - place) / (y(0) - y(1))).toPrecision(4);
    // An end of the axis bounds nothing: rounded, it could leave out the run that stands there.
    narrow(one.name, bottom - top < 3 ? [] : [
      ...(bottom < y(0) ? [`${one.name}>=${Number(value(bottom))}`] : []),
      ...(top > y(1) ? [`${one.name}<=${Number(value(top))}`] : [])]);
  };
  return svg("g", {}, band, strip);
}

/** Puts conditions on one key into the filter, in place of older ones. */
function narrow(name, conditions) {
  const old = words(state.filter);
  const kept = old.filter((word) => word.match(TEST)?.[1] !== name);
  const added = conditions.filter((word) => !(conditions.length === 1 && old.includes(word)));
  state.filter = [...kept, ...added].map((word) => (/\s/.test(word) ? `"${word}"` : word))
    .join(" ");
  refilter();
}

function startParallel() {
  view(["filter", "metric", "chosen"], drawParallel);
  new ResizeObserver(() => { if (page.data) drawParallel(); }).observe($("#parallel .scroll"));
}
