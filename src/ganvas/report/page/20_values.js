// Values of runs and of groups, and when they may be compared.

/** The number behind a stored value: "nan", "inf" and "-inf" are stored as text. */
function number(value) {
  if (typeof value === "number") return value;
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : NaN;
}

/** With which weights a run's value is shown: with the best ones, or the last where none were
 *  selected; or always with the last. The rule of `ganvas compare`. */
function weights(run, metric) {
  const value = get(run.values, metric);
  return state.which === "best" && (value?.best ?? null) !== null ? "best" : "final";
}

/** A run's value of a metric as stored; undefined where it has none. */
const stored = (run, metric) => get(get(run.values, metric), weights(run, metric)) ?? undefined;

/** Hash of what must be equal for two values to be compared; "" where it is unknown. */
const protocolOf = (run, metric) => get(get(run.protocols, metric), weights(run, metric)) ?? "";

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

/** The unit is the seed: of `[run, number]` those of one seed are averaged. */
function seedMeans(pairs) {
  const seeds = new Map();
  for (const [run, value] of pairs) {
    const seed = run.seed ?? run.id;
    seeds.set(seed, [...(seeds.get(seed) ?? []), value]);
  }
  return [...seeds.values()].map((numbers) => moments(numbers).mean);
}

/** One metric of a group over the seeds of its finished runs. Values by different protocols are
 *  `mixed`, and have no mean. */
function summary(group, metric) {
  const runs = finished(group).filter((run) => stored(run, metric) !== undefined);
  const protocols = new Set(runs.map((run) => protocolOf(run, metric)));
  const means = seedMeans(runs.map((run) => [run, number(stored(run, metric))]));
  const mixed = protocols.size > 1;
  return { protocols, mixed, ...(mixed ? { n: means.length, mean: NaN, error: null }
    : moments(means)) };
}

const finished = (group) => group.members.filter((run) => run.status === "finished");

const SURE = 2; // standard errors of a difference

/** The best groups by a metric (`ids`), or why none is marked: one seed proves nothing, nor does
 *  a value under another protocol. NaN and infinities are never best. */
function ranking(groups, metric) {
  const higher = page.metrics.get(metric)?.higher ?? null;
  const found = groups.map((group) => ({ id: group.id, ...summary(group, metric) }));
  const protocols = new Set(found.flatMap((entry) => [...entry.protocols]));
  const rivals = found.filter((entry) => Number.isFinite(entry.mean));
  const none = (note) => ({ ids: new Set(),
    note: `No group is marked best by ${metric}: ${note}.` });
  if (protocols.size > 1) return none("it was measured under different protocols");
  if (rivals.length < 2) return none("fewer than two groups have a finite mean");
  if (higher === null) return none("neither higher nor lower is better");
  const few = rivals.filter((entry) => entry.n < 2).length;
  if (few) return none(`${plural(few, "group")} of ${rivals.length} with one seed only`);
  const top = Math[higher ? "max" : "min"](...rivals.map((entry) => entry.mean));
  const best = rivals.filter((entry) => entry.mean === top);
  return { ids: new Set(best.map((entry) => entry.id)), note: doubt(rivals, best, metric) };
}

/** Where the lead of the best group is within what seeds make of it. */
function doubt(rivals, [first, ...ties], metric) {
  const near = rivals.filter((one) => one !== first && Math.abs(one.mean - first.mean)
    <= SURE * Math.hypot(one.error, first.error)).length;
  if (ties.length || !near) return `The best mean of ${metric} is marked.`;
  return `The best mean of ${metric} is marked, but ${near === 1 ? "another group is"
    : `${near} other groups are`} within two standard errors of it.`;
}
