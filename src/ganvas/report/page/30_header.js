// The top of the page: what it is about, the metric for all views, the way through it.

function drawHeader() {
  const { data } = page;
  document.title = `${data.title} · ganvas`;
  $("#version").textContent = data.live ? "dashboard" : "report";
  $("#title").textContent = data.title;
  const counts = countStatuses().map(([status, n]) => `${n} ${status}`);
  $("#summary").textContent = [plural(data.runs.length, "run"), ...counts,
    `made ${moment(data.made)}`, `ganvas ${data.version}`].join(" · ");
  $("#notes").textContent = (data.notes ?? []).join(" ");
  const problems = $("#problems");
  problems.hidden = !data.problems.length;
  $("summary", problems).textContent = plural(data.problems.length, "problem");
  $("ul", problems).replaceChildren(...data.problems.map((text) => el("li", {}, text)));
}

function drawMetricChoice() {
  options($("#metric"), page.data.metrics.map((metric) => metric.name), state.metric);
  $("#which").value = state.which;
}

/** Fills a select; options that are there already stay, so that an open list stays open. */
function options(select, names, value) {
  const old = [...select.options].map((option) => option.value);
  if (old.length !== names.length || names.some((name, i) => name !== old[i])) {
    select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  }
  select.value = value;
}

function drawChosen() {
  const n = state.chosen.size;
  $("#chosen").textContent = n ? `${plural(n, "run")} chosen` : "";
  $("#unchoose").hidden = !n;
}

/** Links to the sections that have something to show. */
function drawNav() {
  const sections = [...document.querySelectorAll("main > section")].filter((s) => !s.hidden);
  $(".bar nav").replaceChildren(...sections.map((section) => {
    const link = el("a", { href: `#${section.id}`, "data-focus": `nav ${section.id}` },
      section.dataset.nav);
    link.onclick = (event) => goTo(event, section);
    return link;
  }));
}

/** Scrolls without touching the address, which holds the choices. */
function goTo(event, section) {
  event.preventDefault();
  section.scrollIntoView();
  section.setAttribute("tabindex", "-1");
  section.focus({ preventScroll: true });
}

function startHeader() {
  view([], drawHeader);
  view(["metric"], drawMetricChoice);
  view(["chosen"], drawChosen);
  $("#metric").onchange = (event) => {
    state.metric = event.target.value;
    state.curve = "";
    changed("metric");
  };
  $("#which").onchange = (event) => { state.which = event.target.value; changed("metric"); };
  $("#unchoose").onclick = () => choose([...state.chosen], false);
  $(".skip").onclick = (event) => goTo(event, $("#runs"));
}
