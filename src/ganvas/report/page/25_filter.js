// The filter: words, `key=value`, `metric>number`; all of them must hold. It rules every view.

const TEST = /^(.+?)(!=|>=|<=|=|>|<)(.*)$/s;

/** Splits at blanks outside quotes: `model=vae "two words"`. */
const words = (text) => (text.match(/(?:"[^"]*"|[^\s"])+/g) ?? [])
  .map((word) => word.replaceAll('"', ""));

/** The names that a filter may use, and how a run answers to them. */
function fields() {
  const known = new Map([
    ["status", (run) => run.status], ["name", (run) => run.name], ["id", (run) => run.id],
    ["label", (run) => run.label], ["seed", (run) => run.seed], ["cell", (run) => run.cell],
    ["seconds", (run) => run.seconds ?? undefined], ["memory", peak],
    ["reason", (run) => run.reason ?? undefined],
  ]);
  for (const key of [...Object.keys(page.data.shared), ...page.data.keys]) {
    known.set(key, (run) => setting(run, key));
  }
  for (const name of page.metrics.keys()) known.set(name, (run) => stored(run, name));
  return known;
}

/** The field of a name; `beta` stands for `loss.beta` where no other key ends so. */
function field(name, known) {
  if (known.has(name)) return known.get(name);
  const endings = [...known.keys()].filter((key) => /[./]/.test(key)
    && (key.endsWith(`.${name}`) || key.endsWith(`/${name}`)));
  return endings.length === 1 ? known.get(endings[0]) : null;
}

function holds(value, sign, wanted) {
  const [x, y] = [number(value), wanted.trim() === "" ? NaN : number(asNumber(wanted))];
  const same = !Number.isNaN(x) && !Number.isNaN(y) ? x === y
    : show(value).toLowerCase() === wanted.toLowerCase();
  if (sign === "=") return same;
  if (sign === "!=") return !same;
  return { ">": x > y, "<": x < y, ">=": x >= y, "<=": x <= y }[sign];
}

const asNumber = (text) => (/^-?(nan|inf)$/.test(text) ? text : Number(text));

/** `{test(run), problem}` of what was typed. */
function parseFilter(text) {
  const known = fields();
  const problems = [];
  const tests = words(text).map((word) => {
    const [, name, sign, wanted] = word.match(TEST) ?? [];
    const read = name === undefined ? null : field(name, known);
    if (read) return (run) => holds(read(run), sign, wanted);
    if (name !== undefined) problems.push(name);
    return (run) => haystack(run).includes(word.toLowerCase());
  });
  return { test: (run) => tests.every((test) => test(run)), problems };
}

const haystack = (run) => [run.label, run.name, run.id, run.path, run.status, run.reason ?? "",
  ...Object.entries(run.config).map(([key, value]) => `${key}=${show(value)}`)]
  .join("\n").toLowerCase();

/** What the filter and the status chips leave; `page.rows` and the groups' members follow. */
function applyFilter() {
  const { test, problems } = parseFilter(state.filter);
  page.rows = page.data.runs.filter((run) => test(run)
    && (!state.statuses.size || state.statuses.has(run.status)));
  const left = new Set(page.rows.map((run) => run.id));
  page.left = [...page.groups.values()]
    .map((group) => ({ ...group, members: group.runs.filter((id) => left.has(id))
      .map((id) => page.runs.get(id)) }))
    .filter((group) => group.members.length);
  page.filterProblems = problems;
}

const statusOrder = ["finished", "running", "queued", "interrupted", "failed", "killed"];

/** `[status, count]` of all runs, in the order of a run's life. */
function countStatuses() {
  const counts = new Map();
  for (const { status } of page.data.runs) counts.set(status, (counts.get(status) ?? 0) + 1);
  const place = (status) => (statusOrder.indexOf(status) + 1) || 99;
  return [...counts].sort((a, b) => place(a[0]) - place(b[0]));
}
