// Starts the page.

function render(data) {
  take(data);
  changed("data");
  const root = document.documentElement.dataset;
  root.ready = String(Number(root.ready ?? 0) + 1);
}

function start() {
  readHash();
  const starts = [() => view(["filter"], applyFilter),
    () => view(["filter", "metric", "chosen"], pickGroups), startHeader, startSheet, startRuns,
    startGroups, startDiff, startCurves, startParallel, startTradeoffs, startPictures,
    startSearch, startLive, () => view([], drawNav)];
  starts.forEach((one) => one());
  matchMedia("(prefers-color-scheme: dark)").onchange = () => changed("theme");
  const data = JSON.parse($("#data").textContent);
  if (data) render(data);
  if (!data || data.live) poll();
}

start();
