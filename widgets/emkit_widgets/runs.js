// My runs: a table, and below it the selected one in full. Python makes the words; here they are drawn, and asked for while in sight.
const BUSY_MS = 1000, QUIET_MS = 5000;
const RUNNING = ["queued", "starting", "running"];
const HEADS = ["State", "Step", "Output", "Began", "Progress", "Time", "Memory"];

function moment(seconds) {
  if (seconds === null) return "";
  return new Date(1000 * seconds).toLocaleString(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
}

function bar(parent, done, label) {
  const attributes = { max: 1, "aria-label": label };
  if (done !== null) attributes.value = done;
  return make("progress", parent, undefined, attributes);
}

function table(box, runs, selected, choose) {
  const scrolled = box.scrollTop, focused = box.contains(document.activeElement);
  box.replaceChildren();
  const rows = make("table", box);
  const head = make("tr", make("thead", rows));
  for (const name of HEADS) make("th", head, name, { scope: "col" });
  const body = make("tbody", rows);
  for (const run of runs) {
    const row = make("tr", body, undefined, { tabindex: run.id === selected ? 0 : -1, "aria-selected": run.id === selected });
    if (run.id === selected) row.classList.add("selected");
    make("span", make("td", row), run.state, { class: `state ${run.state}` });
    make("td", row, run.step);
    make("td", row, run.out.split("/").pop() || "–", { title: run.out });
    make("td", row, moment(run.began_at));
    const progress = make("td", row, undefined, { class: "far" });
    if (RUNNING.includes(run.state)) {
      bar(progress, run.done, `Progress of ${run.id}`);
      make("small", progress, run.progress);
    }
    make("td", row, run.time, { class: "number" });
    make("td", row, run.memory, { class: "number" });
    row.addEventListener("click", () => choose(run.id));
  }
  if (!runs.length) make("td", make("tr", body), "No runs yet: every step that is run leaves one.", { colspan: HEADS.length });
  box.scrollTop = scrolled;
  const current = body.querySelector(".selected");
  if (focused && current) current.focus({ preventScroll: true });
}

function folded(parent, summary, text, open) {
  const details = make("details", parent);
  details.open = open;
  make("summary", details, summary);
  make("pre", details, text);
  return details;
}

function whole(box, run, refused, ask) {
  const open = new Set([...box.querySelectorAll("details[open] > summary")].map((node) => node.textContent));
  const pressed = document.activeElement?.dataset?.act;
  box.replaceChildren();
  if (!run.id) return;
  const head = make("div", box, undefined, { class: "head" });
  make("b", head, run.step);
  make("span", head, run.state, { class: `state ${run.state}` });
  if (run.can) {
    const button = make("button", head, run.can === "cancel" ? "Cancel" : "Resume", { type: "button", class: "jupyter-button", "data-act": run.can });
    button.addEventListener("click", () => { button.disabled = true; ask({ [run.can]: run.id }); });
    if (pressed === run.can) button.focus();
  }
  const facts = make("dl", box);
  const told = { Output: run.out || "–", Run: run.id, Folder: run.folder, Where: run.where, "Memory, used / planned": run.memory,
                 "Disk, used / planned": run.disk, "Time, used / planned": run.time };
  if (!run.memory.includes("/")) for (const name of ["Memory", "Disk", "Time"]) {
    told[`${name}, planned`] = told[`${name}, used / planned`];
    delete told[`${name}, used / planned`];
  }
  for (const [name, text] of Object.entries(told)) if (text) { make("dt", facts, name); make("dd", facts, text); }
  const stages = make("div", box, undefined, { class: "stages" });
  for (const stage of run.stages) {
    make("span", stages, stage.what);
    bar(stages, stage.done, stage.what);
    make("small", stages, stage.words);
  }
  if (run.message) make("pre", box, run.message, { class: run.state === "failed" ? "emkit-wrong" : "" });
  if (run.trace) folded(box, "Traceback", run.trace, open.has("Traceback"));
  if (run.log) folded(box, "Log", run.log, open.has("Log"));
  if (refused) make("pre", box, refused, { class: "emkit-wrong", role: "alert" });
}

function render({ model, el }) {
  el.classList.add("emkit-runs");
  const box = make("div", el, undefined, { class: "emkit-table" }), full = make("div", el, undefined, { class: "full" });
  let timer = null, inSight = false;

  const ask = (message) => { clearTimeout(timer); model.send(message); };
  const choose = (id) => { model.set("selected", id); model.save_changes(); };
  const watched = () => inSight && document.visibilityState === "visible";
  const next = () => {
    clearTimeout(timer);
    const busy = model.get("runs").some((run) => RUNNING.includes(run.state));
    if (watched()) timer = setTimeout(() => ask({}), busy ? BUSY_MS : QUIET_MS);
  };
  const look = () => { if (watched()) ask({}); else clearTimeout(timer); };
  const drawTable = () => table(box, model.get("runs"), model.get("selected"), choose);
  const drawWhole = () => whole(full, model.get("shown"), model.get("refused"), ask);

  box.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], runs = model.get("runs");
    const at = runs.findIndex((run) => run.id === model.get("selected")) + step;
    if (step && runs[at]) { event.preventDefault(); choose(runs[at].id); }
  });
  model.on("change:runs", drawTable);
  model.on("change:selected", drawTable);
  model.on("change:shown", drawWhole);
  model.on("change:refused", drawWhole);
  model.on("msg:custom", next);
  const seen = new IntersectionObserver((entries) => { inSight = entries.at(-1).isIntersecting; look(); });
  seen.observe(el);
  document.addEventListener("visibilitychange", look);
  drawTable();
  drawWhole();
  return () => {
    clearTimeout(timer);
    seen.disconnect();
    document.removeEventListener("visibilitychange", look);
    for (const [event, draw] of [["change:runs", drawTable], ["change:selected", drawTable], ["change:shown", drawWhole], ["change:refused", drawWhole], ["msg:custom", next]]) model.off(event, draw);
  };
}

export default { render };
