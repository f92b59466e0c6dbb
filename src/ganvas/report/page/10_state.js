// What is shown: the payload, what the reader chose, and which views follow which choice.

const page = { data: null, runs: new Map(), groups: new Map(), metrics: new Map() };
const state = {
  metric: "", which: "best", sort: "", down: false, filter: "", statuses: new Set(),
  chosen: new Set(), x: "step", lines: "se", logX: false, curve: "", page: 0,
};

const views = [];

/** Draws again when one of the topics changes: "data" (always), "metric", "rows", "chosen", … */
const view = (topics, draw) => views.push({ topics: new Set(["data", ...topics]), draw });

function changed(...topics) {
  const focus = document.activeElement?.dataset?.focus;
  for (const { topics: wanted, draw } of views) {
    if (topics.some((topic) => wanted.has(topic))) draw();
  }
  if (focus && document.activeElement?.dataset?.focus !== focus) {
    $(`[data-focus="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
  }
  writeHash();
}

/** Takes a payload in; a choice that it still allows is kept. */
function take(data) {
  page.data = data;
  for (const run of data.runs) run.label ||= run.name;
  for (const group of data.groups) group.label ||= "all runs";
  page.runs = new Map(data.runs.map((run) => [run.id, run]));
  page.groups = new Map(data.groups.map((group) => [group.id, group]));
  page.metrics = new Map(data.metrics.map((metric) => [metric.name, metric]));
  for (const id of [...state.chosen]) if (!page.runs.has(id)) state.chosen.delete(id);
  const statuses = new Set(data.runs.map((run) => run.status));
  for (const one of [...state.statuses]) if (!statuses.has(one)) state.statuses.delete(one);
  if (!page.metrics.has(state.metric)) state.metric = data.metrics[0]?.name ?? "";
}

function choose(ids, yes) {
  for (const id of ids) {
    if (yes) state.chosen.add(id);
    else state.chosen.delete(id);
  }
  changed("chosen");
}

const chosenRuns = () => page.data.runs.filter((run) => state.chosen.has(run.id));

// The choices stand in the address, so that a view can be kept or sent.
const KEPT = ["metric", "which", "sort", "filter", "x", "lines", "curve"];

function readHash() {
  const kept = new URLSearchParams(location.hash.slice(1));
  for (const key of KEPT) if (kept.get(key)) state[key] = kept.get(key);
  state.down = kept.get("down") === "1";
  state.statuses = new Set(kept.getAll("status"));
  state.chosen = new Set(kept.getAll("run"));
}

function writeHash() {
  const kept = new URLSearchParams();
  const plain = { metric: page.data.metrics[0]?.name, which: "best", x: "step", lines: "se",
    curve: defaultCurve(curveNames()) };
  for (const key of KEPT) if (state[key] && state[key] !== plain[key]) kept.set(key, state[key]);
  if (state.down) kept.set("down", "1");
  for (const status of state.statuses) kept.append("status", status);
  for (const id of state.chosen) kept.append("run", id);
  const hash = kept.size ? `#${kept}` : location.pathname;
  try {
    history.replaceState(null, "", hash);
  } catch {
    // Some viewers allow no history; the page works without it.
  }
}
