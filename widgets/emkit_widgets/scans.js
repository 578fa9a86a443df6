// The scans of a folder. Python makes the words and decides what is allowed; here they are drawn, kept by name, so that notes
// which somebody is writing are never drawn over. News is asked for while the table is in sight.
const BUSY_MS = 1500, QUIET_MS = 10000;
const BUSY = ["counting", "streaming"];
const FACTS = 3; // that are shown before "more"

function button(parent, text, act, attributes = {}) {
  const node = make("button", parent, text, { type: "button", ...attributes });
  node.classList.add("jupyter-button");
  node.addEventListener("click", act);
  return node;
}

function moment(seconds) {
  const when = new Date(1000 * seconds), year = when.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return when.toLocaleString(undefined, { year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

// The address of a file beside the notebook that is open in this Lab; none elsewhere.
function address(path) {
  const [, lab, here] = location.pathname.match(/^(.*?\/(?:lab|notebooks))(?:\/workspaces\/[^/]+)?\/(?:tree\/)?(.*)$/) ?? [];
  if (lab === undefined) return null;
  const folder = here.split("/").slice(0, -1).map(decodeURIComponent), parts = [];
  for (const part of [...folder, ...path.split("/")]) part === ".." ? parts.pop() : parts.push(part);
  return `${lab}${lab.endsWith("/lab") ? "/tree" : ""}/${parts.map(encodeURIComponent).join("/")}`;
}

class Row {
  constructor(name, ask, mayWrite, chosen) {
    this.name = name;
    this.node = document.createElement("tr");
    this.mayWrite = mayWrite;
    if (mayWrite) {
      this.box = make("input", make("td", this.node), undefined, { type: "checkbox", "aria-label": `Select ${name}` });
      this.box.addEventListener("change", chosen);
    }
    this.picture = make("td", this.node, undefined, { class: "picture" });
    const what = make("td", this.node, undefined, { class: "what" });
    make("b", what, name);
    this.time = make("span", what);
    this.shape = make("span", what);
    const state = make("td", this.node, undefined, { class: "far" });
    this.state = make("span", state);
    this.bar = make("progress", state, undefined, { max: 1, "aria-label": `Progress of ${name}` });
    this.told = make("small", state);
    this.sizes = make("td", this.node, undefined, { class: "sizes" });
    this.facts = make("td", this.node, undefined, { class: "facts" });
    const notes = make("td", this.node, undefined, { class: "notes" });
    if (mayWrite) {
      this.notes = make("textarea", notes, undefined, { rows: 2, placeholder: "Notes", "aria-label": `Notes of ${name}` });
      this.notes.addEventListener("change", () => ask({ note: [name, this.notes.value, this.known.notes] }));
      this.acts = make("td", this.node, undefined, { class: "acts" });
      button(this.acts, "Notebook", () => ask({ open: [name] }), { title: "Open the notebook of this scan" });
      this.cancel = button(this.acts, "Cancel", () => ask({ cancel: [this.known.run] }));
      this.remove = button(this.acts, "Delete raw…", () => ask({ ask: [name] }));
    } else this.notes = make("p", notes);
  }

  update(row, picture) {
    const before = this.known ?? {};
    this.known = row;
    this.node.classList.toggle("busy", BUSY.includes(row.state));
    this.state.className = `state ${row.state}`;
    this.state.textContent = row.state;
    this.bar.hidden = !BUSY.includes(row.state);
    if (row.done === null) this.bar.removeAttribute("value"); else this.bar.value = row.done;
    this.told.textContent = row.told;
    this.time.textContent = moment(row.at);
    this.shape.textContent = row.shape;
    if (before.raw !== row.raw || before.counted !== row.counted || before.gone !== row.gone) {
      this.sizes.replaceChildren();
      if (row.raw) make(row.gone ? "s" : "span", this.sizes, row.raw, row.gone ? { title: "the raw frames were deleted" } : {});
      if (row.raw && row.counted) make("span", this.sizes, " → ");
      if (row.counted) make("b", this.sizes, row.counted);
    }
    if (JSON.stringify(before.facts) !== JSON.stringify(row.facts)) this.tell(row.facts);
    if (this.mayWrite) {
      if (this.notes.value === (before.notes ?? "") || document.activeElement !== this.notes) this.notes.value = row.notes;
      this.cancel.hidden = !(row.run && row.state === "counting");
      this.remove.hidden = !row.can_delete;
      this.remove.disabled = BUSY.includes(row.state);
      this.box.disabled = row.volume;
    } else this.notes.textContent = row.notes;
    if (this.drawn !== picture) {
      this.drawn = picture;
      this.picture.replaceChildren();
      if (picture) make("img", this.picture, undefined, { src: picture, alt: `Image of ${row.name}` });
    }
  }

  tell(facts) {
    this.facts.replaceChildren();
    const list = (parent, some) => { for (const [name, value] of some) { make("dt", parent, name); make("dd", parent, value); } };
    list(make("dl", this.facts), facts.slice(0, FACTS));
    if (facts.length <= FACTS) return;
    const more = make("details", this.facts);
    make("summary", more, `${facts.length - FACTS} more`);
    list(make("dl", more), facts.slice(FACTS));
  }
}

function ask_first(box, question, ask) {
  box.replaceChildren();
  box.hidden = !question.name;
  if (!question.name) return;
  make("p", box, question.text);
  const line = make("div", box);
  const typed = question.type ? make("input", line, undefined, { type: "text", placeholder: question.name, "aria-label": "Name of the scan" }) : null;
  const remove = button(line, "Delete raw frames", () => ask({ delete: [question.name, typed ? typed.value : ""] }), { class: "mod-danger" });
  const keep = button(line, "Keep them", () => ask({ keep: [] }));
  if (typed) {
    remove.disabled = true;
    typed.addEventListener("input", () => { remove.disabled = typed.value !== question.name; });
  }
  (typed ?? keep).focus();
  box.scrollIntoView({ block: "nearest" });
}

function told(box, model) {
  box.replaceChildren();
  const { name, path } = model.get("notebook");
  if (model.get("refused")) make("pre", box, model.get("refused"), { class: "emkit-wrong", role: "alert" });
  if (model.get("told")) make("p", box, model.get("told"), { role: "status" });
  if (!path) return;
  const line = make("p", box, `The notebook of ${name}: `, { role: "status" }), where = address(path);
  if (where) make("a", line, path, { href: where, target: "_blank" }); else make("code", line, path);
}

function series(box, found) {
  box.replaceChildren();
  box.hidden = !found.name;
  if (!found.name) return;
  make("h4", box, found.name);
  make("img", box, undefined, { alt: "Dose and drift over time", src: `data:image/svg+xml;utf8,${encodeURIComponent(found.plot)}` });
  const rows = make("table", make("div", box, undefined, { class: "scroll" })), [head, ...body] = found.table;
  const line = make("tr", make("thead", rows));
  for (const name of head) make("th", line, name.replaceAll("_", " "), { scope: "col" });
  for (const cells of body) { const row = make("tr", rows); for (const cell of cells) make("td", row, cell); }
}

function render({ model, el }) {
  el.classList.add("emkit-scans");
  const mayWrite = model.get("may_write"), rows = new Map();
  let timer = null, inSight = false, typing = null;

  const ask = (message) => { clearTimeout(timer); model.send(message); };
  const selected = () => [...rows.values()].filter((row) => row.box?.checked && row.node.isConnected).map((row) => row.name);
  const bar = make("div", el, undefined, { class: "head" });
  const search = make("input", bar, undefined, { type: "search", placeholder: "Search names, notes, facts, states", "aria-label": "Search scans" });
  search.value = model.get("search");
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { model.set("search", search.value); model.save_changes(); }, 250);
  });
  const count = mayWrite && button(bar, "Count selected", () => ask({ count: [selected()] }));
  const measure = mayWrite && button(bar, "Dose and drift of selected", () => ask({ measure: [selected()] }));
  make("span", bar, `in ${model.get("folder").split("/").pop() || "/"}`, { class: "folder", title: model.get("folder") });
  const message = make("div", el, undefined, { class: "told" });
  const question = make("div", el, undefined, { class: "question", role: "alertdialog", "aria-label": "Delete raw frames" });
  const measured = make("div", el, undefined, { class: "series" });
  const table = make("table", make("div", el, undefined, { class: "scroll" }));
  const head = make("tr", make("thead", table));
  if (mayWrite) {
    const all = make("input", make("th", head), undefined, { type: "checkbox", "aria-label": "Select all" });
    all.addEventListener("change", () => { for (const row of rows.values()) if (!row.box.disabled) row.box.checked = all.checked; chosen(); });
  }
  for (const name of ["", "Scan", "State", "Raw → counted", "Facts", "Notes", ...(mayWrite ? [""] : [])]) make("th", head, name, { scope: "col" });
  const body = make("tbody", table);
  const rest = make("p", el, "", { class: "folder" });

  const chosen = () => {
    if (!mayWrite) return;
    const names = selected();
    count.disabled = !names.length || !names.some((name) => rows.get(name).known.can_count);
    measure.disabled = names.length < 2;
    count.textContent = names.length ? `Count selected (${names.length})` : "Count selected";
  };
  const draw = () => {
    const pictures = model.get("pictures"), found = model.get("rows");
    found.forEach((known, at) => {
      if (!rows.has(known.name)) rows.set(known.name, new Row(known.name, ask, mayWrite, chosen));
      const row = rows.get(known.name);
      row.update(known, pictures[known.name] ?? "");
      if (body.children[at] !== row.node) body.insertBefore(row.node, body.children[at] ?? null);
    });
    while (body.children.length > found.length) body.lastElementChild.remove();
    const names = new Set(found.map((row) => row.name));
    for (const name of [...rows.keys()]) if (!names.has(name)) rows.delete(name);
    if (!found.length) rest.textContent = model.get("search") ? "Nothing holds these words." : "No scans here. Raw folders, counted scans and streams are found by themselves.";
    else rest.textContent = model.get("more") ? `${model.get("more")} older ones are not shown; search finds them.` : "";
    chosen();
  };
  const tell = () => told(message, model);
  const inquire = () => ask_first(question, model.get("question"), ask);
  const show = () => series(measured, model.get("series"));
  const watched = () => inSight && document.visibilityState === "visible";
  const next = () => {
    clearTimeout(timer);
    const busy = model.get("rows").some((row) => BUSY.includes(row.state)) || model.get("told").startsWith("Measuring")
      || model.get("rows").some((row) => !(row.name in model.get("pictures")));
    if (watched()) timer = setTimeout(() => ask({}), busy ? BUSY_MS : QUIET_MS);
  };
  const look = () => { if (watched()) ask({}); else clearTimeout(timer); };
  const events = [["change:rows", draw], ["change:pictures", draw], ["change:question", inquire], ["change:told", tell],
                  ["change:refused", tell], ["change:notebook", tell], ["change:series", show], ["msg:custom", next]];
  for (const [event, act] of events) model.on(event, act);
  const seen = new IntersectionObserver((entries) => { inSight = entries.at(-1).isIntersecting; look(); });
  seen.observe(el);
  document.addEventListener("visibilitychange", look);
  draw(); tell(); inquire(); show();
  return () => {
    clearTimeout(timer);
    clearTimeout(typing);
    seen.disconnect();
    document.removeEventListener("visibilitychange", look);
    for (const [event, act] of events) model.off(event, act);
  };
}

export default { render };
