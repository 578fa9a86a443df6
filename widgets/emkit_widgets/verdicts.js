// The sections of a stack with the verdict on each and every statistic. Arrow keys move, letters are handed on.
// Each row: {z, file, verdict, bad, score, values, marked}; each column: {title, says}.
const FULL = 3; // the score at which its bar is full; 1 is the border

function head(line, columns) {
  const fixed = [["Section", "Its place in the stack"], ["File", ""], ["Verdict", "What is wrong with it"], ["Score", "1 is the border"]];
  for (const [title, says] of fixed) make("th", line, title, { scope: "col", title: says });
  for (const { title, says } of columns) make("th", line, title, { scope: "col", title: says, class: "number" });
}

function fillRow(row, told, selected) {
  row.className = `${told.bad ? "bad" : ""}${selected ? " selected" : ""}`;
  row.tabIndex = selected ? 0 : -1;
  row.setAttribute("aria-selected", selected);
  make("td", row, told.z);
  make("td", row, told.file);
  make("td", row, told.verdict, { class: "verdict" });
  const score = make("td", row, undefined, { class: "score" });
  const bar = make("span", score, undefined, { class: "bar" });
  bar.style.width = `${Math.min(told.score / FULL, 1) * 3.2}rem`;
  make("span", score, told.score.toFixed(1));
  told.values.forEach((value, k) => make("td", row, value, { class: told.marked.includes(k) ? "number marked" : "number" }));
}

function render({ model, el }) {
  el.classList.add("emkit-verdicts");
  const frame = make("div", el, undefined, { class: "emkit-table" }), table = make("table", frame, undefined, { "aria-label": "Verdict on each section" });
  const line = make("tr", make("thead", table)), body = make("tbody", table);
  make("p", el, model.get("legend"), { class: "emkit-remark" });

  const choose = (i) => {
    model.set("selected", Math.min(Math.max(i, 0), model.get("rows").length - 1));
    model.save_changes();
  };
  const show = () => {
    const row = body.children[model.get("selected")];
    if (!row) return;
    if (frame.contains(document.activeElement)) row.focus({ preventScroll: true });
    const below = row.offsetTop + row.offsetHeight - frame.clientHeight, above = row.offsetTop - row.offsetHeight;
    frame.scrollTop = Math.min(Math.max(frame.scrollTop, below), above); // never the page itself
  };
  const drawAll = () => {
    line.replaceChildren();
    head(line, model.get("columns"));
    const focused = frame.contains(document.activeElement);
    body.replaceChildren();
    model.get("rows").forEach((told, i) => {
      const row = make("tr", body);
      fillRow(row, told, i === model.get("selected"));
      row.addEventListener("click", () => { choose(i); row.focus({ preventScroll: true }); });
    });
    if (focused) body.children[model.get("selected")]?.focus({ preventScroll: true });
    show();
  };
  const moved = () => {
    const before = body.querySelector(".selected"), now = body.children[model.get("selected")];
    for (const [row, is] of [[before, false], [now, true]]) {
      if (!row) continue;
      row.classList.toggle("selected", is);
      row.tabIndex = is ? 0 : -1;
      row.setAttribute("aria-selected", is);
    }
    show();
  };
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    const bad = { n: 1, p: -1 }[event.key];
    const rows = model.get("rows"), at = model.get("selected");
    if (move) choose(at + move);
    else if (bad) {
      const next = bad > 0 ? rows.findIndex((row, i) => i > at && row.bad) : rows.findLastIndex((row, i) => i < at && row.bad);
      if (next >= 0) choose(next);
    } else if (model.get("letters").includes(event.key)) model.send({ key: event.key });
    else return;
    event.preventDefault();
    event.stopPropagation(); // Lab has letters of its own
  });
  const watcher = new ResizeObserver(show); // also once it has a place on the page
  watcher.observe(el);
  drawAll();
  model.on("change:rows change:columns", drawAll);
  model.on("change:selected", moved);
  return () => {
    watcher.disconnect();
    model.off("change:rows change:columns", drawAll);
    model.off("change:selected", moved);
  };
}

export default { render };
