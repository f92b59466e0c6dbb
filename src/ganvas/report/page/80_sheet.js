// One run in full: where it comes from, what it measured and how, and its whole config.

let sheetRun = null;

function openSheet(id) {
  if (!page.runs.has(id)) return;
  sheetRun = id;
  drawSheet();
  const sheet = $("#sheet");
  if (!sheet.open) sheet.showModal();
  sheet.scrollTop = 0;
}

/** Anything of a record as a list of terms; nested parts as lists in lists. */
function facts(value) {
  if (value === null || typeof value !== "object") return document.createTextNode(show(value));
  if (Array.isArray(value) && value.every((one) => one === null || typeof one !== "object")) {
    return document.createTextNode(value.length ? value.map(show).join(", ") : MISSING);
  }
  return el("dl", {}, ...Object.entries(value).flatMap(([key, part]) => [el("dt", {}, key),
    el("dd", {}, facts(part))]));
}

const part = (title, ...content) => el("section", {}, el("h3", {}, title), ...content);

const optional = (title, value, absent) => part(title,
  value === null || value === undefined ? el("p", { className: "note" }, absent) : facts(value));

function commandPart(command) {
  const code = el("code", {}, command ?? MISSING);
  const button = el("button", { type: "button", "data-focus": "copy" }, "Copy");
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(command);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  };
  return part("Command", el("div", { className: "command" }, code, command ? button : null));
}

/** Every value, with the uncertainty, the step and the protocol it was measured by. */
function valuesPart(run) {
  const rows = Object.entries(run.values).map(([name, value]) => el("tr", {},
    el("th", { scope: "row", className: "left" }, name),
    ...["final", "best", "uncertainty", "step"].map((key) => el("td", {}, show(value[key]))),
    el("td", { className: "left" }, el("code", {}, hashes(run, name).join(", ") || MISSING))));
  const head = ["Metric", "final", "best", "±", "step", "protocol"].map((name, i) =>
    el("th", { scope: "col", className: i % 5 ? "" : "left" }, name));
  return part("Values", rows.length ? el("div", { className: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)))
    : el("p", { className: "note" }, "The run has no value yet."));
}

/** A protocol by its hash: each is in the page once. */
const protocol = (hash) => get(page.data.protocols ?? {}, hash) ?? hash;

/** One entry of the record, with its protocol in full. */
function evaluation(one) {
  const error = rank(one.uncertainty) === 2 ? "" : ` ± ${show(one.uncertainty)}`;
  return [`${one.split}/${one.name} ${show(one.value)}${error}`,
    { ...one, protocol: protocol(one.protocol) }];
}

/** Of a metric: one hash, unless best and final value were measured differently. */
const hashes = (run, name) => [...new Set(Object.values(get(run.protocols, name) ?? {}))];

/** Every protocol of a run's values once, under the metrics that were measured by it. */
function protocols(run) {
  const metrics = new Map();
  for (const name of Object.keys(run.protocols)) {
    for (const hash of hashes(run, name)) metrics.set(hash, [...(metrics.get(hash) ?? []), name]);
  }
  return [...metrics].map(([hash, names]) => [`${hash}: ${names.join(", ")}`, protocol(hash)]);
}

function folded(title, entries) {
  if (!entries.length) return "";
  return part(title, ...entries.map(([name, content]) => el("details", {},
    el("summary", {}, name), facts(content))));
}

function identity(run) {
  const from = run.provenance ?? {};
  return facts({ status: run.reason ? `${run.status}: ${run.reason}` : run.status,
    folder: run.path, created: moment(run.created), finished: moment(run.finished),
    time: duration(run.seconds ?? NaN), seed: run.seed,
    "peak memory": Object.entries(run.peak_mib ?? {}).map(([kind, mib]) =>
      `${kind} ${memory(mib)}`).join(", ") || MISSING,
    "config hash": from.config_hash, "data fingerprint": from.dataset_fingerprint });
}

function wandbPart(wandb) {
  const made = optional("W&B", wandb, "The run was not tracked by W&B.");
  if (/^https?:\/\//.test(wandb?.url ?? "")) {
    made.append(el("a", { href: wandb.url, rel: "noreferrer", target: "_blank" }, wandb.url));
  }
  return made;
}

function drawSheet() {
  const run = page.runs.get(sheetRun);
  if (!run) return $("#sheet").close();
  const from = run.provenance ?? {};
  const opened = new Set([...document.querySelectorAll("#sheet [open] > summary")]
    .map((summary) => summary.textContent));
  const close = el("button", { type: "button", className: "close", "aria-label": "Close",
    "data-focus": "close" }, "✕");
  close.onclick = () => $("#sheet").close();
  const config = Object.fromEntries([...new Set([...Object.keys(page.data.shared),
    ...Object.keys(run.config)])].sort().map((key) => [key, setting(run, key)]));
  $("#sheet").replaceChildren(close,
    el("h2", { id: "sheet-h" }, swatch(run.group), run.name, el("small", {}, ` ${run.label}`)),
    identity(run), commandPart(from.command), valuesPart(run),
    folded("Evaluations", (from.evaluations ?? []).map(evaluation)),
    folded("Metric protocols", protocols(run)),
    optional("Code", from.git, "Not from a git checkout."), wandbPart(from.wandb),
    optional("Hardware", from.hardware, "Not recorded."),
    optional("Packages", from.packages, "Not recorded."), part("Config", facts(config)));
  for (const summary of document.querySelectorAll("#sheet summary")) {
    summary.parentElement.open = opened.has(summary.textContent);
  }
  return undefined;
}

function startSheet() {
  const sheet = $("#sheet");
  sheet.onclick = (event) => { if (event.target === sheet) sheet.close(); };
  view([], () => { if (sheet.open) drawSheet(); });
}
