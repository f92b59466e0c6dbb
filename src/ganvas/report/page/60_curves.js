// Learning curves: a group's mean with its band, or every run, over step, images or seconds.

const AXES = [["step", "step"], ["images", "images"], ["seconds", "seconds"]];
const LINES = [["se", "mean ± s.e."], ["range", "mean, min–max"], ["runs", "single runs"]];
const POINTS = 200;
const hiddenGroups = new Set();

/** The curve that goes with the metric: itself, or its validation twin, or the first. */
function defaultCurve(names) {
  const twin = state.metric.replace(/^[^/]*\//, "val/");
  return [state.metric, twin].find((name) => names.includes(name)) ?? names[0] ?? "";
}

function curveNames() {
  const names = new Set(page.data.runs.flatMap((run) => Object.keys(run.curves)));
  return [...page.metrics.keys()].filter((name) => names.delete(name)).concat([...names].sort());
}

/** A run's curve as `{x, y}` over the chosen axis; null where it has none. */
function curveOf(run) {
  const curve = get(run.curves, state.curve);
  const x = curve?.[state.x];
  return x?.length ? { x, y: curve.value.map(number) } : null;
}

/** Value of a curve at `at`, between points linearly; undefined outside of it. */
function along({ x, y }, at) {
  if (at < x[0] || at > x.at(-1)) return undefined;
  let [low, high] = [0, x.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (x[middle] <= at) low = middle;
    else high = middle;
  }
  if (x[low] === at || low === high) return y[low];
  if (x[high] === at) return y[high];
  const part = (at - x[low]) / (x[high] - x[low]);
  return y[low] + part * (y[high] - y[low]);
}

/** Mean, band and count over the seeds of several `[run, curve]` where any has a value. */
function average(curves) {
  const every = [...new Set(curves.flatMap(([, curve]) => curve.x))].sort((a, b) => a - b);
  const stride = Math.max(1, Math.ceil(every.length / POINTS));
  const x = every.filter((_, i) => i % stride === 0 || i === every.length - 1);
  const points = x.map((at) => {
    const values = seedMeans(curves.map(([run, curve]) => [run, along(curve, at)])
      .filter(([, value]) => value !== undefined));
    const { n, mean, error } = moments(values);
    const spread = state.lines === "range" ? [Math.min(...values), Math.max(...values)]
      : [mean - (error ?? 0), mean + (error ?? 0)];
    return { n, mean, error, low: spread[0], high: spread[1] };
  });
  return { x, points };
}

const curvesOf = (group) => group.members.map((run) => [run, curveOf(run)])
  .filter(([, curve]) => curve);

function groupTraces(group) {
  const curves = curvesOf(group);
  if (!curves.length) return [];
  const { colour, dash } = look(group.id);
  const { x, points } = average(curves);
  const bounds = { mode: "lines", line: { width: 0 }, hoverinfo: "skip", x };
  const band = points.every(({ n }) => n < 2) ? [] : [
    { ...bounds, y: points.map((point) => point.low) },
    { ...bounds, y: points.map((point) => point.high), fill: "tonexty",
      fillcolor: faded(colour, 0.18) }];
  const text = points.map((point, i) => hover(group.label, `${state.x} ${figure(x[i])}`,
    `${state.curve} ${point.error === null ? figure(point.mean)
      : plusMinus(point.mean, point.error)}  (n = ${point.n})`));
  return [...band, { x, y: points.map((point) => point.mean), ...stroke(x, colour, dash, 2), text,
    hovertemplate: "%{text}<extra></extra>", name: esc(group.label) }];
}

function runTraces(group) {
  const { colour, dash } = look(group.id);
  return curvesOf(group).map(([run, { x, y }]) => ({ x, y, ...stroke(x, colour, dash, 1.2),
    name: esc(run.label), text: y.map((value, i) => hover(run.label,
      `${state.x} ${figure(x[i])}`, `${state.curve} ${figure(value)}`)),
    hovertemplate: "%{text}<extra></extra>" }));
}

const stroke = (x, colour, dash, width) => ({ type: "scatter",
  mode: x.length < 3 ? "lines+markers" : "lines", line: { color: colour, dash, width },
  marker: { color: colour, size: 6 } });

function drawCurves() {
  const names = curveNames();
  if (!names.includes(state.curve)) state.curve = defaultCurve(names);
  options($("#curve-metric"), names, state.curve);
  const shown = page.picked.filter((group) => !hiddenGroups.has(group.id));
  const traces = shown.flatMap(state.lines === "runs" ? runTraces : groupTraces);
  plot($("#curve-plot"), traces, { uirevision: `${state.curve} ${state.x} ${state.logX}`,
    xaxis: axis(state.x, state.logX ? { type: "log" } : {}), yaxis: axis(state.curve) },
  names.length ? "No run shown has this curve." : "No run has a curve.");
  drawLegend();
  const band = { se: "Line: mean over the seeds; band: ± standard error.",
    range: "Line: mean over the seeds; band: lowest to highest.",
    runs: "One line per run, in its group's colour." };
  const hidden = page.left.length - page.picked.length;
  const why = page.pickedBest ? `the first ${MOST_GROUPS} by ${state.metric}`
    : `the first ${MOST_GROUPS}`;
  $("#curve-note").textContent = band[state.lines] + (hidden > 0
    ? ` ${plural(hidden, "group")} not drawn: figures show ${why}, and those of chosen runs.` : "");
}

/** Of a group's label what tells it from the other groups drawn. */
function shortLabel(group) {
  const told = shownKeys().filter((key) => key !== "seed" && new Set(page.picked.map((one) =>
    show(setting(one.members[0], key)))).size > 1);
  const text = told.map((key) => `${key}=${show(setting(group.members[0], key))}`).join(" ");
  return text || group.label;
}

function drawLegend() {
  $("#legend").replaceChildren(...page.picked.map((group) => {
    const off = hiddenGroups.has(group.id);
    const button = el("button", { type: "button", "aria-pressed": String(!off),
      title: `${group.label}: show or hide its curves`, "data-focus": `legend ${group.id}` },
    swatch(group.id), shortLabel(group));
    button.onclick = () => {
      if (!hiddenGroups.delete(group.id)) hiddenGroups.add(group.id);
      changed("curves");
    };
    return el("li", {}, button);
  }));
}

/** A row of radio buttons that sets `state[key]`. */
function radios(fieldset, key, choices, topic) {
  fieldset.append(...choices.map(([value, name]) => {
    const radio = el("input", { type: "radio", name: fieldset.id, value,
      checked: state[key] === value });
    radio.onchange = () => { state[key] = value; changed(topic); };
    return el("label", {}, radio, el("span", {}, name));
  }));
}

function startCurves() {
  if (!AXES.some(([value]) => value === state.x)) state.x = "step";
  if (!LINES.some(([value]) => value === state.lines)) state.lines = "se";
  radios($("#xaxis"), "x", AXES, "curves");
  radios($("#band"), "lines", LINES, "curves");
  $("#log-x").onchange = (event) => { state.logX = event.target.checked; changed("curves"); };
  $("#curve-metric").onchange = (event) => { state.curve = event.target.value; changed("curves"); };
  view(["filter", "metric", "chosen", "curves", "theme"], drawCurves);
}
