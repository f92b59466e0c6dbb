// Values of runs and of groups, and when they may be compared.

/** The number behind a stored value: "nan", "inf" and "-inf" are stored as text. */
function number(value) {
  if (typeof value === "number") return value;
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : NaN;
}

/** A run's value of a metric as stored; undefined where it has none. */
const stored = (run, metric) => get(get(run.values, metric), state.which) ?? undefined;

const PEAKS = ["gpu", "process"];
const peak = (run) => PEAKS.map((kind) => run.peak_mib?.[kind]).find(Number.isFinite);

/** A config value: of the keys that differ, or of those that all runs share. */
const setting = (run, key) => get(run.config, key) ?? get(page.data.shared, key);

/** Before, after or beside: numbers by size, then text by code point; missing and nan last. */
function order(a, b, down) {
  const [first, second] = [rank(a), rank(b)];
  if (first !== second) return first - second;
  if (first === 2) return 0;
  const [x, y] = first === 0 ? [number(a), number(b)] : [show(a), show(b)];
  return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
}

const rank = (value) => value === undefined || value === null || value === "nan"
  || Number.isNaN(value) ? 2 : Number.isNaN(number(value)) ? 1 : 0;

/** Mean, standard error and count of finite numbers; the error is null below two. */
function moments(numbers) {
  const n = numbers.length;
  const mean = numbers.reduce((sum, value) => sum + value, 0) / n;
  const squares = numbers.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { n, mean, error: n < 2 ? null : Math.sqrt(squares / (n - 1) / n) };
}

/** One metric of a group: over its finished runs that have it.
 *  `protocols` are those it was measured under; a mean exists for one protocol only. */
function summary(group, metric) {
  const runs = group.members.filter((run) => run.status === "finished"
    && stored(run, metric) !== undefined);
  const protocols = new Set(runs.map((run) => get(run.protocols, metric) ?? ""));
  const numbers = runs.map((run) => number(stored(run, metric)));
  const mixed = protocols.size > 1;
  return { ...(mixed ? { n: numbers.length, mean: NaN, error: null } : moments(numbers)),
    protocols, mixed };
}

/** Which group is best by a metric, or why none is: one seed proves nothing, nor does a value
 *  under another protocol. */
function bestGroup(groups, metric) {
  const higher = page.metrics.get(metric)?.higher ?? null;
  const found = groups.map((group) => ({ group, ...summary(group, metric) }))
    .filter((entry) => entry.n > 0);
  const protocols = new Set(found.flatMap((entry) => [...entry.protocols]));
  const none = (why) => ({ id: null, why });
  if (higher === null) return none("the metric has no better direction");
  if (found.length < 2) return none("there is nothing to compare with");
  if (protocols.size > 1) return none("it was measured under different protocols");
  if (found.some((entry) => entry.n < 2)) return none("some groups have one seed only");
  if (found.some((entry) => !Number.isFinite(entry.mean))) return none("a value is not finite");
  found.sort((a, b) => order(a.mean, b.mean, higher));
  return { id: found[0].group.id, why: null };
}
