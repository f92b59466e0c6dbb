// A search: values by trial, what mattered, slices through the space, the trials themselves.

const trialSort = { key: "number", down: false, page: 0 };

const done = (search) => search.trials.filter((trial) => trial.values);

const valueAt = (i) => (trial) => number(trial.values?.[i] ?? NaN);

const trialText = (search, trial) => hover(`trial ${trial.number} (${trial.state})`,
  ...search.objectives.map((one, i) => `${one.name} ${figure(valueAt(i)(trial))}`),
  ...Object.entries(trial.params).map(([key, value]) => `${key} = ${show(value)}`));

function markers(search, trials, x, y, more = {}) {
  return { type: "scatter", mode: "markers", x, y, customdata: trials.map((trial) => trial.run),
    text: trials.map((trial) => trialText(search, trial)),
    hovertemplate: "%{text}<extra></extra>",
    marker: { color: css("--c0"), size: 8, opacity: 0.85,
      symbol: trials.map((trial) => (trial.state === "complete" ? "circle" : "circle-open")) },
    ...more };
}

function historyPlot(search, i) {
  const { name, direction } = search.objectives[i];
  const trials = done(search).filter((trial) => Number.isFinite(valueAt(i)(trial)))
    .sort((a, b) => a.number - b.number);
  const up = direction === "maximize";
  let best = up ? -Infinity : Infinity;
  const record = trials.map((trial) => {
    if (trial.state === "complete") best = Math[up ? "max" : "min"](best, valueAt(i)(trial));
    return Number.isFinite(best) ? best : null;
  });
  const numbers = trials.map((trial) => trial.number);
  const line = { type: "scatter", mode: "lines", x: numbers, y: record, hoverinfo: "skip",
    line: { shape: "hv", width: 2, color: css("--c1") } };
  return [`${name} by trial; line: best so far (${direction})`, trials.length ? [line,
    markers(search, trials, numbers, trials.map(valueAt(i)))] : [],
  { xaxis: axis("trial"), yaxis: axis(name) }];
}

function importancePlot(search) {
  const bars = Object.entries(search.importance).sort((a, b) => a[1] - b[1]);
  const room = 1.15 * Math.max(0, ...bars.map((bar) => number(bar[1])));
  return ["Importance: which parameter moved the value", [{ type: "bar", orientation: "h",
    x: bars.map((bar) => number(bar[1])), y: bars.map((_, i) => i),
    text: bars.map((bar) => figure(number(bar[1]))), textposition: "outside", cliponaxis: false,
    hoverinfo: "skip", marker: { color: css("--c0") } }],
  { xaxis: axis("share", { range: [0, room] }), yaxis: axis("", { tickvals: bars.map((_, i) => i),
    ticktext: bars.map((bar) => esc(bar[0])), title: undefined }) }];
}

/** No other trial is at least as good in both objectives and better in one. */
function front(search) {
  const sign = search.objectives.map((one) => (one.direction === "maximize" ? -1 : 1));
  const at = (trial) => sign.map((s, i) => s * valueAt(i)(trial));
  const trials = done(search).filter((trial) => trial.state === "complete"
    && at(trial).every(Number.isFinite));
  const beats = (a, b) => a[0] <= b[0] && a[1] <= b[1] && (a[0] < b[0] || a[1] < b[1]);
  return trials.filter((trial) => !trials.some((other) => beats(at(other), at(trial))))
    .sort((a, b) => valueAt(0)(a) - valueAt(0)(b));
}

function paretoPlot(search) {
  const [first, second] = search.objectives;
  const trials = done(search);
  const best = front(search);
  return [`Pareto front: ${first.name} (${first.direction}), ${second.name} `
    + `(${second.direction})`, [
    { type: "scatter", mode: "lines", x: best.map(valueAt(0)), y: best.map(valueAt(1)),
      hoverinfo: "skip", line: { color: css("--c1"), width: 1.5 } },
    markers(search, trials, trials.map(valueAt(0)), trials.map(valueAt(1)), { marker: {
      size: 9, color: trials.map((trial) => css(best.includes(trial) ? "--c1" : "--faint")) } })],
  { xaxis: axis(first.name), yaxis: axis(second.name) }];
}

function slicePlot(search, key) {
  const trials = done(search).filter((trial) => get(trial.params, key) !== undefined);
  const values = trials.map((trial) => trial.params[key]);
  const numeric = values.every((value) => typeof value === "number");
  const spread = numeric && Math.min(...values) > 0
    && Math.max(...values) / Math.min(...values) >= 50;
  const names = [...new Set(values.map(show))].sort((a, b) => order(a, b));
  const x = numeric ? values : values.map((value) => names.indexOf(show(value)));
  const ticks = numeric ? { type: spread ? "log" : "linear" }
    : { tickvals: names.map((_, i) => i), ticktext: names.map(esc) };
  return [key, [markers(search, trials, x, trials.map(valueAt(0)), { marker: { size: 7,
    color: trials.map((trial) => trial.number), colorscale: [[0, css("--low")],
      [1, css("--high")]] } })],
  { xaxis: axis(key, ticks), yaxis: axis(search.objectives[0].name) }];
}

/** Draws the figures in the children of a box, which are kept from one drawing to the next. */
function drawAll(box, figures) {
  while (box.children.length > figures.length) box.lastChild.remove();
  while (box.children.length < figures.length) {
    box.append(el("figure", {}, el("figcaption"), el("div", { className: "plot" })));
  }
  figures.forEach(([caption, traces, layout], i) => {
    $("figcaption", box.children[i]).textContent = caption;
    const node = $(".plot", box.children[i]);
    plot(node, traces, layout, "No trial has a value yet.");
    if (node.on && !node.dataset.bound) {
      node.dataset.bound = "1";
      node.on("plotly_click", (event) => openSheet(event.points[0].customdata));
    }
  });
}

function drawTrials(search) {
  const params = [...new Set(search.trials.flatMap((trial) => Object.keys(trial.params)))];
  const columns = [{ key: "number", name: "Trial", get: (trial) => trial.number },
    { key: "state", name: "State", left: true, get: (trial) => trial.state },
    ...search.objectives.map(({ name }, i) => ({ key: `value ${i}`, name, className: "lead",
      get: (trial) => trial.values?.[i] ?? undefined })),
    ...params.map((key) => ({ key: `param ${key}`, name: key,
      get: (trial) => get(trial.params, key) })),
    { key: "seconds", name: "Time", get: (trial) => trial.seconds ?? undefined,
      cell: (trial) => duration(trial.seconds ?? NaN) },
    { key: "run", name: "Run", left: true, get: (trial) => trial.run ?? undefined,
      cell: trialRun }];
  grid($("#trial-table"), { columns, rows: search.trials, sort: trialSort,
    pager: $("#trial-pager"), again: () => drawTrials(search) });
}

function trialRun(trial) {
  if (!page.runs.has(trial.run)) return MISSING;
  const button = el("button", { type: "button", className: "link" }, tail(trial.run));
  button.onclick = () => openSheet(trial.run);
  return button;
}

function drawSearch() {
  const { search } = page.data;
  $("#search").hidden = !search;
  if (!search) return;
  const states = new Map();
  for (const { state: one } of search.trials) states.set(one, (states.get(one) ?? 0) + 1);
  $("#search-note").textContent = [plural(search.trials.length, "trial"),
    ...[...states].map(([name, n]) => `${n} ${name}`)].join(" · ")
    + ". Open circles: not complete. Click a point for its run.";
  $("#slices-note").textContent = `${search.objectives[0].name} against each parameter; the `
    + "stronger the colour, the later the trial.";
  const params = [...new Set(search.trials.flatMap((trial) => Object.keys(trial.params)))];
  drawAll($("#search-plots"), [
    ...(search.objectives.length === 2 ? [paretoPlot(search)] : []),
    ...search.objectives.map((_, i) => historyPlot(search, i)),
    ...(search.importance && Object.keys(search.importance).length
      ? [importancePlot(search)] : [])]);
  drawAll($("#slices"), done(search).length ? params.map((key) => slicePlot(search, key)) : []);
  drawTrials(search);
}

const startSearch = () => view(["theme"], drawSearch);
