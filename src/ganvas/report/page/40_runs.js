// The run table, its filter box and status chips, and the menu of columns.

const columnsShown = { metrics: null, keys: null };
const FIRST_METRICS = 4;
const FIRST_KEYS = 6;

/** The columns that are on: the first ones, until the reader says otherwise; the metric always. */
function shownMetrics() {
  const names = [...page.metrics.keys()];
  const on = columnsShown.metrics ?? new Set(names.slice(0, FIRST_METRICS));
  return names.filter((name) => name === state.metric || on.has(name));
}

/** At first the keys that labels name: the others differ along with them. */
function shownKeys() {
  const { keys, runs } = page.data;
  if (columnsShown.keys) return keys.filter((key) => columnsShown.keys.has(key));
  const named = keys.filter((key) => runs.some((run) => ` ${run.label}`.includes(` ${key}=`)));
  return named.length ? named : keys.slice(0, FIRST_KEYS);
}

function chooseBox(run) {
  const box = el("input", { type: "checkbox", checked: state.chosen.has(run.id),
    "aria-label": `choose ${run.label}`, "data-focus": `choose ${run.id}` });
  box.onchange = () => choose([run.id], box.checked);
  return box;
}

/** The box in the header chooses all rows that the filter left. */
function chooseAll() {
  const all = page.rows.length > 0 && page.rows.every((run) => state.chosen.has(run.id));
  const box = el("input", { type: "checkbox", checked: all, "data-focus": "choose all",
    "aria-label": "choose all runs that the filter left" });
  box.onchange = () => choose(page.rows.map((run) => run.id), box.checked);
  return box;
}

function nameCell(run) {
  const button = el("button", { type: "button", className: "link", title: run.path,
    "data-focus": `name ${run.id}` }, run.name);
  button.onclick = () => openSheet(run.id);
  return el("span", { className: "name" }, swatch(run.group), button,
    el("small", {}, ident(run)));
}

/** The short id at a run folder's end; a sweep's run is named by its cell. */
const tail = (id) => id.split("-").at(-1).slice(-8);
const ident = (run) => (run.cell === null || run.cell === undefined ? tail(run.id)
  : `#${run.cell}`);

function statusCell(run) {
  const pill = el("span", { className: `pill ${known(run.status)}` }, run.status);
  if (!run.reason) return pill;
  return el("span", { className: "status" }, pill,
    el("small", { title: run.reason }, run.reason));
}

const known = (status) => (statusOrder.includes(status) ? status : "");

/** A value; the title says its uncertainty and step, which are known of the best weights where
 *  there are any. */
function valueCell(run, metric, places) {
  const value = stored(run, metric);
  if (value === undefined) return MISSING;
  const { best, ...others } = run.values[metric];
  const other = weights(run, metric) === "final" && (best ?? null) !== null;
  const { step, uncertainty } = other ? {} : others;
  const text = typeof value === "number" ? aligned(value, places) : value;
  const error = number(uncertainty);
  const title = [show(value), Number.isFinite(error) ? `± ${error} (estimator)` : null,
    step === null || step === undefined ? null : `step ${step}`].filter(Boolean).join(", ");
  return el("span", { title }, text);
}

function metricColumn(name) {
  const places = placesOf(page.data.runs.map((run) => number(stored(run, name))));
  return { key: `metric ${name}`, name, className: name === state.metric ? "lead" : "",
    get: (run) => stored(run, name), cell: (run) => valueCell(run, name, places) };
}

function runColumns() {
  return [
    { key: "choose", head: chooseAll(), cell: chooseBox, className: "choose" },
    { key: "name", name: "Run", get: (run) => `${run.name} ${run.cell ?? run.id}`, cell: nameCell,
      left: true, header: true },
    { key: "status", name: "Status", get: (run) => run.status, cell: statusCell, left: true },
    ...shownKeys().map((key) => ({ key: `config ${key}`, name: key,
      get: (run) => setting(run, key), left: typeof settingOf(key) === "string" })),
    ...shownMetrics().map(metricColumn),
    { key: "seconds", name: "Time", title: "seconds that the run took",
      get: (run) => run.seconds ?? undefined, cell: (run) => duration(run.seconds ?? NaN) },
    { key: "memory", name: "Memory", title: "peak memory: of the GPU, else of the process",
      get: peak, cell: (run) => memory(peak(run) ?? NaN) },
  ];
}

const settingOf = (key) => page.data.runs.map((run) => setting(run, key))
  .find((value) => value !== undefined && value !== null);

function drawRuns() {
  const sort = { key: state.sort, down: state.down, page: state.page };
  grid($("#run-table"), { columns: runColumns(), rows: page.rows, sort, pager: $("#pager"),
    mark: (line, run) => line.classList.toggle("chosen", state.chosen.has(run.id)),
    again: () => {
      Object.assign(state, { sort: sort.key, down: sort.down, page: sort.page });
      changed("rows-order");
    } });
}

function drawChips() {
  $("#chips").replaceChildren(...countStatuses().map(([status, n]) => {
    const chip = el("button", { type: "button", className: `chip ${known(status)}`,
      "aria-pressed": String(state.statuses.has(status)), "data-focus": `chip ${status}` },
    `${status} ${n}`);
    chip.onclick = () => {
      if (!state.statuses.delete(status)) state.statuses.add(status);
      refilter();
    };
    return chip;
  }));
}

function refilter() {
  state.page = 0;
  changed("filter", "rows");
}

function drawFilterNote() {
  const total = page.data.runs.length;
  const lost = page.filterProblems.map((name) => `No key or metric is called “${name}”: `
    + "taken as text.");
  const kept = page.rows.length === total ? "" : `${page.rows.length} of `
    + `${plural(total, "run")}; tables and figures below show these only.`;
  $("#filter-note").textContent = [kept, ...lost].join(" ").trim();
  if ($("#filter").value !== state.filter) $("#filter").value = state.filter;
}

function drawColumnMenu() {
  const list = (title, kind, all, on) => el("fieldset", {}, el("legend", {}, title),
    ...all.map((name) => {
      const box = el("input", { type: "checkbox", checked: on.includes(name),
        "data-focus": `column ${kind} ${name}` });
      box.onchange = () => {
        columnsShown[kind] = new Set(on.filter((one) => one !== name));
        if (box.checked) columnsShown[kind].add(name);
        changed("columns");
      };
      return el("label", { className: "check" }, box, ` ${name}`);
    }));
  $("#columns div").replaceChildren(
    list("Metrics", "metrics", [...page.metrics.keys()], shownMetrics()),
    list("Config", "keys", page.data.keys, shownKeys()));
}

function startRuns() {
  view(["filter"], drawChips);
  view(["filter"], drawFilterNote);
  view(["metric", "columns"], drawColumnMenu);
  view(["filter", "metric", "columns", "chosen", "rows-order"], drawRuns);
  const menu = $("#columns");
  document.addEventListener("click", ({ target }) => {
    if (target.isConnected && !menu.contains(target)) menu.open = false;
  });
  menu.onkeydown = (event) => { if (event.key === "Escape") menu.open = false; };
  let wait = 0;
  $("#filter").oninput = (event) => {
    state.filter = event.target.value;
    clearTimeout(wait);
    wait = setTimeout(refilter, page.data.runs.length > 100 ? 200 : 0);
  };
}
