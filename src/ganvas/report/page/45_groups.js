// Runs that differ by their seed only, as one line: mean ± standard error.

const groupSort = { key: "", down: false, page: 0 };

function groupValue(group, metric, best) {
  const { n, mean, error, mixed } = summary(group, metric);
  if (mixed) return el("em", { title: "its runs were measured under different protocols" },
    "protocols differ");
  if (!n) return MISSING;
  const text = error === null ? figure(mean) : plusMinus(mean, error);
  const isBest = best.ids.has(group.id);
  const done = finished(group).length;
  return el("span", { className: isBest ? "best" : "", title: `n = ${n}` },
    isBest ? el("span", { className: "star", title: "best mean" }, "best ") : null, text,
    n === done ? null : el("small", { className: "aside" }, `n = ${n}`));
}

function groupColumns() {
  const best = new Map(shownMetrics().map((name) => [name, ranking(page.left, name)]));
  const average = (read) => (group) => {
    const { n, mean } = moments(finished(group).map(read).filter(Number.isFinite));
    return n ? mean : undefined;
  };
  const [seconds, mib] = [average((run) => run.seconds), average(peak)];
  return [
    { key: "choose", head: "", className: "choose", cell: groupBox },
    ...groupKeys(),
    { key: "n", name: "n", title: "runs of the group", get: (group) => group.members.length,
      cell: countCell },
    ...shownMetrics().map((name) => ({ key: `metric ${name}`, name,
      className: name === state.metric ? "lead" : "", get: (group) => summary(group, name).mean,
      cell: (group) => groupValue(group, name, best.get(name)) })),
    { key: "seconds", name: "Time", title: "mean seconds of a run that finished", get: seconds,
      cell: (group) => duration(seconds(group) ?? NaN) },
    { key: "memory", name: "Memory", title: "mean peak memory of a run that finished", get: mib,
      cell: (group) => memory(mib(group) ?? NaN) },
  ];
}

/** A column for each key that tells the groups apart; the first one names the row. */
function groupKeys() {
  const keys = shownKeys().filter((key) => key !== "seed");
  const named = (group, text) => el("span", { className: "name", title: group.label },
    swatch(group.id), text);
  if (!keys.length) {
    return [{ key: "label", name: "Group", left: true, header: true, get: (group) => group.label,
      cell: (group) => named(group, group.label) }];
  }
  const read = (key) => (group) => setting(group.members[0], key);
  return keys.map((key, i) => ({ key: `config ${key}`, name: key, header: i === 0, get: read(key),
    left: i === 0 || typeof settingOf(key) === "string",
    cell: i ? null : (group) => named(group, show(read(key)(group))) }));
}

/** "3", or "2 of 3" where a run did not finish. */
function countCell(group) {
  const done = finished(group).length;
  const all = group.members.length;
  return done === all ? String(all) : el("span", { title: "finished of all" }, `${done} of ${all}`);
}

function groupBox(group) {
  const ids = group.members.map((run) => run.id);
  const inside = ids.filter((id) => state.chosen.has(id)).length;
  const box = el("input", { type: "checkbox", checked: inside === ids.length,
    indeterminate: inside > 0 && inside < ids.length, "aria-label": `choose ${group.label}`,
    "data-focus": `choose group ${group.id}` });
  box.onchange = () => choose(ids, box.checked);
  return box;
}

function drawGroups() {
  $("#groups-note").textContent = "Same config but for the seed: mean ± standard error over the "
    + `seeds that finished. ${state.metric ? ranking(page.left, state.metric).note : ""}`;
  grid($("#group-table"), { columns: groupColumns(), rows: page.left, sort: groupSort,
    pager: $("#group-pager"), again: () => changed("groups-order"),
    mark: (line, group) => line.classList.toggle("chosen",
      group.members.every((run) => state.chosen.has(run.id))) });
}

const startGroups = () => view(["filter", "metric", "columns", "chosen", "groups-order"],
  drawGroups);
