// In a dashboard: asks for new data, and draws it in place.

const EVERY = 2000;
const link = { etag: null, lost: false, pressed: false, waiting: null };

/** New data waits while the reader presses a button: a click on what was replaced is no click. */
function receive(data) {
  if (link.pressed) link.waiting = data;
  else render(data);
}

function release() {
  link.pressed = false;
  const data = link.waiting;
  link.waiting = null;
  if (data) setTimeout(render, 0, data); // after the click
}

function startLive() {
  view([], drawLive);
  addEventListener("pointerdown", () => { link.pressed = true; }, true);
  addEventListener("pointerup", release, true);
  addEventListener("pointercancel", release, true);
  // A release outside of the window is not told; the next move tells it.
  addEventListener("pointermove", ({ buttons }) => { if (link.pressed && !buttons) release(); });
}

function drawLive() {
  const node = $("#live");
  node.hidden = !page.data.live;
  node.className = link.lost ? "lost" : "";
  node.textContent = link.lost ? "Connection lost: trying again" : "Live";
}

async function ask() {
  const headers = link.etag ? { "If-None-Match": link.etag } : {};
  const answer = await fetch("data.json", { headers, cache: "no-store" });
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(`data.json: ${answer.status}`);
  link.etag = answer.headers.get("ETag");
  return answer.json();
}

/** One question; whatever goes wrong is a lost connection, which the next question may mend. */
async function poll() {
  try {
    const data = await ask();
    link.lost = false;
    if (data) receive(data);
    else drawLive();
  } catch {
    link.lost = true;
    if (page.data) drawLive();
    else $("#summary").textContent = "No connection: trying again …";
  }
  if (!page.data || page.data.live) setTimeout(poll, EVERY);
}
