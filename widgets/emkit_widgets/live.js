// A live scan: start and stop its session, its picture as it fills, and the numbers beside it. Python makes them; here they are drawn, and asked for while in sight.
const BUSY_MS = 400, QUIET_MS = 3000;
const RATES = 150; // kept for the curve
const PARTIAL = [245, 124, 0];

const whole = (number) => Math.round(number).toLocaleString("en");
const seconds = (time) => (time < 60 ? `${time.toFixed(1)} s` : `${Math.floor(time / 60)} min ${Math.round(time % 60)} s`);

// Start or Stop, where, and how the session stands.
function control(box, model, ask) {
  const session = model.get("session"), refused = model.get("refused");
  const focused = box.contains(document.activeElement);
  box.replaceChildren();
  if (session.state === undefined) return;
  const row = make("div", box, undefined, { class: "row" });
  const button = make("button", row, session.runs ? "Stop" : "Start", { type: "button", class: `jupyter-button ${session.runs ? "" : "mod-primary"}` });
  button.addEventListener("click", () => { button.disabled = true; ask(session.runs ? { stop: true } : { start: true }); });
  if (focused) button.focus();
  if (session.phantom && session.state === "ready") {
    const phantom = make("button", row, "Send a phantom", { type: "button", class: "jupyter-button" });
    phantom.addEventListener("click", () => { phantom.disabled = true; ask({ phantom: true }); });
  }
  if (session.runs) make("span", row, `on ${session.place}`, { class: "faint" });
  else {
    const label = make("label", row, "Receivers on ");
    const places = make("select", label);
    for (const place of model.get("places")) make("option", places, place, { value: place });
    places.value = model.get("place");
    places.addEventListener("change", () => { model.set("place", places.value); model.save_changes(); });
  }
  make("span", row, session.state === "none" ? "no session yet" : session.state, { class: `state ${session.state}` });
  if (session.runs && session.wanted) make("span", row, `${session.receivers} of ${session.wanted} receivers`);
  if (session.state === "ready" && session.ready_s !== null) make("span", row, `ready after ${seconds(session.ready_s)}`, { class: "faint" });
  if (session.message) make("div", box, session.message, { class: session.state === "failed" || session.state === "interrupted" ? "wrong" : "faint" });
  for (const line of session.news) make("div", box, line, { class: "news" });
  if (refused) make("div", box, refused, { class: "wrong", role: "alert" });
}

function paint(canvas, bytes, [height, width]) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let k = 0; k < width * height; k++) {
    const value = view[k];
    if (value === 0) continue; // no frame yet: the ground shows through
    const colour = value === 255 ? PARTIAL : [value, value, value];
    image.data.set([...colour, 255], 4 * k);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function curve(parent, rates, most) {
  const told = { role: "img", "aria-label": `Frames per second lately, ${whole(most)} at most` };
  const svg = draw("svg", { viewBox: `0 0 ${RATES} 40`, preserveAspectRatio: "none", ...told }, parent);
  const points = rates.map((rate, k) => `${RATES - rates.length + k},${39 - 37 * (most ? rate / most : 0)}`).join(" ");
  draw("polyline", { points }, svg);
}

function numbers(box, told, rates) {
  box.replaceChildren();
  if (!told.scan) return;
  const bar = make("div", box, undefined, { class: "bar", role: "progressbar", "aria-label": "Frames", "aria-valuemin": 0, "aria-valuemax": told.frames, "aria-valuenow": told.whole + told.partial });
  make("span", bar, undefined, { class: "whole", style: `width: ${(100 * told.whole) / told.frames}%` });
  make("span", bar, undefined, { class: "partial", style: `width: ${(100 * told.partial) / told.frames}%` });
  make("div", box, told.over ? `over, after ${seconds(told.seconds)}` : `${Math.floor((100 * (told.whole + told.partial)) / told.frames)} % after ${seconds(told.seconds)}`, { class: "faint" });
  const rate = make("div", box, undefined, { class: "rate" });
  const pace = make("div", rate);
  make("b", pace, whole(told.over ? told.frames / Math.max(told.seconds, 0.1) : told.rate));
  make("span", pace, told.over ? " frames/s on the whole" : " frames/s");
  curve(rate, rates, Math.max(...rates, 1));
  const facts = make("dl", box);
  const put = (name, value, mark = "") => { make("dt", facts, name); make("dd", facts, value, { class: mark }); };
  put("Whole", `${whole(told.whole)} of ${whole(told.frames)} frames`);
  put("Partial", whole(told.partial), told.partial ? "partial" : "");
  if (told.over) put("Missing", whole(told.missing), told.missing ? "wrong" : "");
  put("Twice, late", `${whole(told.duplicate)}, ${whole(told.late)} sectors`, told.late ? "wrong" : "");
  put("Refused", `${whole(told.refused)} messages`, told.refused ? "wrong" : "");
  if (!told.over) put("Lag", `${whole(told.lag)} groups on their way`);
  put("Senders wait", told.over ? `${seconds(told.waited_s)} in all` : `${Math.round(100 * told.pressure)} % of the time, ${seconds(told.waited_s)} in all`, told.pressure > 0.5 ? "partial" : "");
  if (told.silent.length) put("Silent", `sector ${told.silent.join(", ")}`, "wrong");
  if (told.silent_s) put("Aggregator", `silent for ${told.silent_s} s`, "wrong");
}

function render({ model, el }) {
  el.classList.add("emkit-live");
  const head = make("div", el, undefined, { class: "head" });
  const body = make("div", el, undefined, { class: "body" });
  const left = make("div", body, undefined, { class: "left" });
  const canvas = make("canvas", left, undefined, { role: "img" });
  const empty = make("div", left, undefined, { class: "empty" });
  const scale = make("div", left, undefined, { class: "scale" });
  const right = make("div", body, undefined, { class: "right" });
  const scans = make("div", right, undefined, { class: "scans" });
  const facts = make("div", right);
  const foot = make("div", el, undefined, { class: "foot" });
  let timer = null, inSight = false, rates = [], of = "";

  const ask = (message) => { clearTimeout(timer); model.send(message); };
  const choose = (name, value) => { model.set(name, value); model.save_changes(); };
  const watched = () => inSight && document.visibilityState === "visible";
  const next = () => {
    clearTimeout(timer);
    const session = model.get("session");
    if (watched()) timer = setTimeout(() => ask({}), session.runs || session.state === undefined ? BUSY_MS : QUIET_MS);
  };
  const look = () => { if (watched()) ask({}); else clearTimeout(timer); };

  const drawHead = () => {
    const session = model.get("session"), told = model.get("told");
    control(head, model, ask);
    empty.textContent = told.scan ? "" : session.send ? "The image fills here when a scan comes." : "No scan yet.";
    foot.replaceChildren();
    if (session.send) {
      make("span", foot, "Send to it: ", { class: "faint" });
      make("code", foot, session.send);
    }
    if (session.report) make("pre", foot, session.report);
  };
  const drawPicture = () => {
    const told = model.get("told"), bytes = model.get("picture");
    left.classList.toggle("there", Boolean(told.scan));
    if (!told.scan || !bytes?.byteLength) return;
    canvas.setAttribute("aria-label", `Virtual image of ${told.scan}`);
    paint(canvas, bytes, told.pixels);
    scale.replaceChildren();
    make("span", scale, whole(told.low));
    make("i", scale);
    make("span", scale, `${whole(told.high)} electrons`);
    if (told.bright) {
      const kinds = make("select", make("label", scale, ""), undefined, { "aria-label": "Which electrons" });
      make("option", kinds, "in the bright field", { value: "bright" });
      make("option", kinds, "everywhere", { value: "all" });
      kinds.value = model.get("kind");
      kinds.addEventListener("change", () => choose("kind", kinds.value));
    }
    if (told.partial) make("span", scale, "lacks sectors", { class: "lack" });
  };
  const drawNumbers = () => {
    const told = model.get("told");
    if (told.scan !== of) { of = told.scan; rates = []; }
    if (told.scan && !told.over) rates = [...rates, told.rate].slice(-RATES);
    numbers(facts, told, rates);
    const names = told.scans ?? [];
    if (scans.contains(document.activeElement) && scans.childElementCount === names.length + 1) return;
    scans.replaceChildren();
    if (!names.length) return;
    const list = make("select", scans, undefined, { "aria-label": "Which scan" });
    make("option", list, `newest: ${names.at(-1)}`, { value: "" });
    for (const name of [...names].reverse()) make("option", list, name, { value: name });
    list.value = model.get("scan");
    list.addEventListener("change", () => choose("scan", list.value));
    make("span", scans, `${told.shape.join(" × ")} positions`, { class: "faint" });
  };
  const drawAll = () => { drawHead(); drawPicture(); drawNumbers(); };
  const handlers = [["change:session", drawHead], ["change:refused", drawHead], ["change:picture", drawPicture], ["change:told", () => { drawPicture(); drawNumbers(); drawHead(); }], ["msg:custom", next]];
  for (const [event, handler] of handlers) model.on(event, handler);
  const seen = new IntersectionObserver((entries) => { inSight = entries.at(-1).isIntersecting; look(); });
  seen.observe(el);
  document.addEventListener("visibilitychange", look);
  drawAll();
  return () => {
    clearTimeout(timer);
    seen.disconnect();
    document.removeEventListener("visibilitychange", look);
    for (const [event, handler] of handlers) model.off(event, handler);
  };
}

export default { render };
