// A table that sorts by its headers and turns pages: runs, groups and trials use it.

const PAGE = 100;

/** Draws `rows` under `columns` ({key, name, get(row), cell(row)?, left?, label?}).
 *  `sort` is {key, down, page}; `again` is called after the reader changed it. */
function grid(table, { columns, rows, sort, again, pager, mark }) {
  drawHead(table, columns, sort, again);
  const column = columns.find((one) => one.key === sort.key && one.get);
  const sorted = column
    ? rows.map((row) => [column.get(row), row]).sort((a, b) => order(a[0], b[0], sort.down))
      .map(([, row]) => row) : rows;
  const pages = Math.max(1, Math.ceil(sorted.length / PAGE));
  sort.page = Math.min(sort.page ?? 0, pages - 1);
  const shown = sorted.slice(sort.page * PAGE, (sort.page + 1) * PAGE);
  $("tbody", table).replaceChildren(...shown.map((row) => {
    const line = el("tr", {}, ...columns.map((one) => bodyCell(one, row)));
    mark?.(line, row);
    return line;
  }));
  drawPager(pager, pages, sorted.length, sort, again);
}

function bodyCell(column, row) {
  const content = column.cell ? column.cell(row) : show(column.get(row));
  const kind = column.left ? "left" : column.className ?? "";
  return el(column.header ? "th" : "td", { className: kind, scope: column.header ? "row" : null },
    content);
}

function drawHead(table, columns, sort, again) {
  const cells = columns.map((column) => {
    const state = column.key !== sort.key ? "none" : sort.down ? "descending" : "ascending";
    const head = el("th", { scope: "col", className: column.left ? "left" : column.className ?? "",
      "aria-sort": column.get ? state : null });
    if (!column.get) head.append(column.head ?? "");
    else {
      const button = el("button", { type: "button", title: column.title ?? column.name,
        "data-focus": `${table.id} ${column.key}` }, column.name);
      button.onclick = () => {
        sort.down = sort.key === column.key ? !sort.down : false;
        sort.key = column.key;
        sort.page = 0;
        again();
      };
      head.append(button);
    }
    return head;
  });
  $("thead", table).replaceChildren(el("tr", {}, ...cells));
}

function drawPager(pager, pages, total, sort, again) {
  if (pages < 2) return pager.replaceChildren();
  const turn = (name, to) => {
    const button = el("button", { type: "button", disabled: to < 0 || to >= pages,
      "data-focus": `${pager.id} ${name}` }, name);
    button.onclick = () => { sort.page = to; again(); };
    return button;
  };
  const first = sort.page * PAGE + 1;
  const span = `${first}–${Math.min(total, first + PAGE - 1)} of ${total}`;
  return pager.replaceChildren(turn("‹ Earlier", sort.page - 1), el("span", {}, span),
    turn("Later ›", sort.page + 1));
}
