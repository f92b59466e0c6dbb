// What all figures share: colours, the theme, plotly's settings.

const COLOURS = 10;
const DASHES = ["solid", "dash", "dot"];
const MOST_GROUPS = 8;
const held = new Map(); // group → number of its colour, kept while it is shown

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The groups that figures show: those of the chosen runs, and the best by the metric. */
function pickGroups() {
  const higher = page.metrics.get(state.metric)?.higher ?? null;
  const ranked = higher === null ? page.left : page.left
    .map((group) => [summary(group, state.metric).mean, group])
    .sort((a, b) => order(a[0], b[0], higher)).map(([, group]) => group);
  const chosen = page.left.filter((group) => group.runs.some((id) => state.chosen.has(id)));
  page.picked = [...new Set([...chosen.slice(0, 3 * COLOURS), ...ranked.slice(0, MOST_GROUPS)])];
  page.pickedBest = higher !== null;
  const ids = new Set(page.picked.map((group) => group.id));
  for (const id of [...held.keys()]) if (!ids.has(id)) held.delete(id);
  const taken = new Set(held.values());
  for (const { id } of page.left.filter((group) => ids.has(group.id) && !held.has(group.id))) {
    let free = 0;
    while (taken.has(free)) free += 1;
    taken.add(free);
    held.set(id, free);
  }
}

/** A group's colour and dash in all figures; grey for one that figures do not pick out. */
function look(id) {
  if (!held.has(id)) return { colour: css("--faint"), dash: "solid" };
  const place = held.get(id);
  return { colour: css(`--c${place % COLOURS}`),
    dash: DASHES[Math.floor(place / COLOURS) % DASHES.length] };
}

function swatch(id) {
  const mark = el("i", { className: "swatch", "aria-hidden": "true" });
  if (held.has(id)) mark.style.background = `var(--c${held.get(id) % COLOURS})`;
  return mark;
}

// The buttons are listed one by one: plotly's own list has one that uploads the figure.
const CONFIG = { responsive: true, displaylogo: false, showTips: false, showSendToCloud: false,
  plotlyServerURL: "", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

const axis = (title, more = {}) => ({ title: { text: esc(title), standoff: 8 }, automargin: true,
  gridcolor: css("--rule"), linecolor: css("--rule"), zeroline: false, ...more });

/** Draws or updates one figure; with no traces, `empty` stands in its place. */
function plot(node, traces, layout, empty) {
  if (!traces.length) {
    if (node.data) Plotly.purge(node);
    node.classList.add("empty");
    return node.replaceChildren(empty);
  }
  if (node.classList.contains("empty")) node.replaceChildren();
  node.classList.remove("empty");
  node.setAttribute("role", "figure");
  node.setAttribute("aria-label", [layout.yaxis, layout.xaxis].map((one) => one.title?.text ?? "")
    .join(" over "));
  const font = { family: css("--sans"), size: 12.5, color: css("--ink") };
  return Plotly.react(node, traces, { margin: { l: 56, r: 12, t: 10, b: 46 }, showlegend: false,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font, hovermode: "closest",
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--rule"), align: "left",
      font: { ...font, color: css("--ink") } }, modebar: { color: css("--soft"),
      activecolor: css("--ink"), bgcolor: "rgba(0,0,0,0)" }, ...layout }, CONFIG);
}

/** Hover text of lines; the texts are escaped here, once. */
const hover = (...lines) => lines.filter((line) => line !== null).map(esc).join("<br>");

const FADE = /^#(..)(..)(..)$/;
const faded = (colour, alpha) => {
  const [, r, g, b] = colour.match(FADE) ?? [null, "80", "80", "80"];
  return `rgba(${[r, g, b].map((part) => parseInt(part, 16)).join(",")},${alpha})`;
};
