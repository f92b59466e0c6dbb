// Samples and reconstructions of runs side by side, with one slider over training.

const MOST_PICTURED = 12;
const FIRST_PICTURED = 4;
const SMALL = 512; // images of fewer pixels are enlarged pixel by pixel
const PACE = 600; // milliseconds per step while playing
const film = { steps: [], at: null, playing: 0, frames: [] };

const kinds = (run) => Object.keys(run.pictures).filter((kind) => run.pictures[kind].length);

/** The runs whose pictures are shown: the chosen ones, else one of each of the first groups. */
function pictured() {
  const chosen = chosenRuns().filter((run) => kinds(run).length);
  if (chosen.length) return chosen.slice(0, MOST_PICTURED);
  return page.picked.map((group) => group.members.find((run) => kinds(run).length))
    .filter(Boolean).slice(0, FIRST_PICTURED);
}

function drawPictures() {
  const runs = pictured();
  const chosen = chosenRuns();
  const none = !runs.length;
  $("#picture-tools").hidden = none;
  $("#pictures").hidden = !page.data.runs.some((run) => kinds(run).length);
  const without = chosen.filter((run) => !kinds(run).length).length;
  $("#picture-note").textContent = none ? "No run shown has pictures." : [
    chosen.length ? "" : "One run of each of the first groups; choose runs in the table to see "
      + "theirs.",
    chosen.length - without > MOST_PICTURED ? `The first ${MOST_PICTURED} of the chosen runs.` : "",
    without ? `${plural(without, "chosen run")} without pictures.` : "",
  ].join(" ").trim();
  film.frames = [];
  $("#picture-grid").replaceChildren(...runs.map(pictureCard));
  film.steps = [...new Set(film.frames.flatMap(({ list }) => list.map((one) => one.step)))]
    .sort((a, b) => a - b);
  const slider = $("#slider");
  slider.max = Math.max(0, film.steps.length - 1);
  slider.value = film.at === null ? slider.max : nearest(film.steps, film.at);
  turnTo(Number(slider.value));
}

function pictureCard(run) {
  const images = kinds(run).map((kind) => {
    const image = el("img", { alt: "", decoding: "sync" });
    image.onload = () => image.classList.toggle("pixels", image.naturalWidth < SMALL);
    const caption = el("figcaption", {}, kind, el("small", {}));
    film.frames.push({ run, kind, list: run.pictures[kind], image, note: $("small", caption) });
    return el("figure", {}, image, caption);
  });
  const name = el("button", { type: "button", className: "link",
    "data-focus": `picture ${run.id}` }, run.label);
  name.onclick = () => openSheet(run.id);
  return el("article", { className: "card" }, el("h3", {}, swatch(run.group), name),
    el("div", { className: "images" }, ...images));
}

/** Place of the entry nearest to a step; the earlier of two as near. */
function nearest(steps, wanted) {
  let best = 0;
  steps.forEach((step, i) => {
    if (Math.abs(step - wanted) < Math.abs(steps[best] - wanted)) best = i;
  });
  return best;
}

function turnTo(place) {
  const step = film.steps[place];
  if (step === undefined) return;
  for (const { run, kind, list, image, note } of film.frames) {
    const one = list[nearest(list.map((entry) => entry.step), step)];
    if (image.getAttribute("src") !== one.src) image.src = one.src;
    image.alt = `${kind} of ${run.label} at step ${one.step}`;
    note.textContent = `step ${one.step}`;
  }
  $("#picture-step").textContent = String(step);
  $("#slider").setAttribute("aria-valuetext", `step ${step}`);
}

/** Moves the slider as the reader does; at the end, a live page follows training. */
function slideTo(place) {
  film.at = place === film.steps.length - 1 ? null : film.steps[place];
  $("#slider").value = place;
  turnTo(place);
}

function play(on) {
  clearInterval(film.playing);
  film.playing = on ? setInterval(() => {
    slideTo((Number($("#slider").value) + 1) % film.steps.length);
  }, PACE) : 0;
  $("#play").setAttribute("aria-pressed", String(on));
  $("#play").textContent = on ? "Pause" : "Play";
}

function startPictures() {
  view(["filter", "metric", "chosen"], drawPictures);
  $("#slider").oninput = (event) => slideTo(Number(event.target.value));
  $("#play").onclick = () => play(!film.playing);
}
