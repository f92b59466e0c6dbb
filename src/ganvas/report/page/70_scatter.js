// Trade-offs: rate against distortion, and the metric against the time it took.

/** One marker per run that has both values. */
function points(x, y, names) {
  const found = page.rows.map((run) => [run, x(run), y(run)])
    .filter(([, a, b]) => Number.isFinite(a) && Number.isFinite(b));
  if (!found.length) return [];
  found.sort(([a], [b]) => held.has(a.group) - held.has(b.group)); // grey ones below
  const chosen = found.map(([run]) => state.chosen.has(run.id));
  return [{ type: "scatter", mode: "markers", x: found.map((one) => one[1]),
    y: found.map((one) => one[2]), customdata: found.map(([run]) => run.id),
    text: found.map(([run, a, b]) => hover(run.label, `${names[0]} ${figure(a)}`,
      `${names[1]} ${figure(b)}`, run.status === "finished" ? null : run.status)),
    hovertemplate: "%{text}<extra></extra>",
    marker: { color: found.map(([run]) => look(run.group).colour), opacity: 0.9,
      size: chosen.map((yes) => (yes ? 13 : found.length > 100 ? 7 : 9)),
      symbol: found.map(([run]) => (run.status === "finished" ? "circle" : "circle-open")),
      line: { width: chosen.map((yes) => (yes ? 2 : 0)), color: css("--ink") } } }];
}

function scatter(figureNode, caption, x, y, names, empty) {
  $("figcaption", figureNode).textContent = caption;
  const node = $(".plot", figureNode);
  plot(node, points(x, y, names), { uirevision: names.join(" "), xaxis: axis(names[0]),
    yaxis: axis(names[1]) }, empty);
  if (node.on && !node.dataset.bound) {
    node.dataset.bound = "1";
    node.on("plotly_click", (event) => openSheet(event.points[0].customdata));
  }
}

/** The split whose rate and distortion are drawn: the metric's own, if it has them. */
function splitOfRates() {
  const own = state.metric.split("/")[0];
  return [own, "test", "val"].find((split) => page.metrics.has(`${split}/rate`)
    && page.metrics.has(`${split}/distortion`));
}

function drawTradeoffs() {
  const split = splitOfRates();
  const value = (name) => (run) => number(stored(run, name));
  $("#rd").hidden = !split;
  if (split) {
    const names = [`${split}/rate`, `${split}/distortion`];
    scatter($("#rd"), "Rate–distortion, in nats per image: nearer to the lower left is better",
      value(names[0]), value(names[1]), names, "No run shown has a rate and a distortion.");
  }
  const higher = page.metrics.get(state.metric)?.higher ?? null;
  const better = higher === null ? "" : `: ${higher ? "upper" : "lower"} left is better`;
  scatter($("#qs"), `Quality and time${better}`, (run) => run.seconds ?? NaN, value(state.metric),
    ["seconds", state.metric], `No run shown has ${state.metric || "a metric"} and a time.`);
  const grey = page.left.length > page.picked.length ? "Coloured: the groups of the legend above; "
    + "grey: the others. " : "";
  $("#tradeoffs-note").textContent = `${grey}Open circles: runs that did not finish. `
    + "Ringed: chosen. Click a point for the run.";
}

const startTradeoffs = () => view(["filter", "metric", "chosen", "theme"], drawTradeoffs);
