// Configs of the chosen runs side by side: the keys that differ among them, or all.

function drawDiff() {
  const runs = chosenRuns();
  const all = $("#diff-all").checked;
  const enough = runs.length >= 2;
  const keys = !enough ? [] : all
    ? [...new Set([...page.data.keys, ...Object.keys(page.data.shared)])].sort()
    : page.data.keys.filter((key) => differs(runs, key));
  $("#diff-note").textContent = !enough ? "Choose two or more runs in the tables above."
    : keys.length ? "" : "The chosen runs have one config.";
  $("#diff .tools").hidden = !enough;
  $("#diff .scroll").hidden = !keys.length;
  $("#diff-table thead").replaceChildren(el("tr", {}, el("th", { scope: "col", className: "left" },
    "Key"), ...runs.map((run) => el("th", { scope: "col", className: "left", title: run.label },
    el("span", { className: "name" }, swatch(run.group), run.name,
      el("small", {}, ident(run)))))));
  $("#diff-table tbody").replaceChildren(...keys.map((key) => diffRow(runs, key)));
}

const differs = (runs, key) => new Set(runs.map((run) => JSON.stringify(setting(run, key)
  ?? null))).size > 1;

function diffRow(runs, key) {
  const cells = runs.map((run) => el("td", { className: "left" }, show(setting(run, key))));
  return el("tr", { className: differs(runs, key) ? "differs" : "" },
    el("th", { scope: "row", className: "left" }, key), ...cells);
}

function startDiff() {
  view(["chosen"], drawDiff);
  $("#diff-all").onchange = drawDiff;
}
