// A window of a section on a canvas: gray values, over them what a model predicts, over that what is painted. The kernel paints and
// answers with what came of it; while the pointer is down the page draws the brush's way itself.

const WIDEST = 1024, CLOSEST = 128; // px of a window
const COLOURS = { 1: [0, 194, 255], 2: [255, 212, 0] }; // interior, membrane: as strokes
const PREDICTED = [255, 64, 40];
const PAINTED_ALPHA = 0.55;
const TOOLS = [
  ["move", "Move", "M", "Drag the section"],
  ["brush", "Brush", "B", "Paint"],
  ["within", "Within", "V", "Paint, but only on the side of the predicted membranes that the class is on"],
  ["fill", "Fill", "F", "Paint all up to the predicted membranes around"],
  ["erase", "Erase", "E", "Take paint away"],
];
const PAGE = `
  <div class="bar tools">
    <span class="choice tool" role="group" aria-label="Tool"></span>
    <span class="choice value" role="group" aria-label="Class">
      <button type="button" data-value="2" title="Membrane (2)"><i style="background: rgb(255, 212, 0)"></i>Membrane</button><button type="button" data-value="1" title="Interior (1)"><i style="background: rgb(0, 194, 255)"></i>Interior</button>
    </span>
    <label>Size <input class="radius" type="range" min="0.5" max="40" step="0.5"><output></output></label>
    <button type="button" class="undo" title="Take the last stroke back (Z)">Undo</button>
  </div>
  <canvas tabindex="0" role="img" aria-label="Section"></canvas>
  <div class="bar">
    <label class="step">Section <input class="section" type="range" min="0" step="1"><output></output></label>
    <label>Prediction <input class="opacity" type="range" min="0" max="1" step="0.05"></label>
    <label>Membrane from <input class="threshold" type="range" min="0.05" max="0.95" step="0.05"><output></output></label>
  </div>
  <div class="bar">
    <button type="button" class="predict main" title="Ask the model about what is shown (P)">Predict here</button>
    <button type="button" class="train main" title="Train on with all strokes so far (T)">Train</button>
    <span class="many" hidden><button type="button" class="places">Predict all places</button> <button type="button" class="next" title="Go to the next place (N)">Next place</button></span>
    <span class="counted" role="status"></span><span class="model"></span><span class="busy" role="status"></span>
  </div>
  <p class="trouble" role="alert"></p>
  <div class="bar keys"><span><kbd>B</kbd> <kbd>V</kbd> <kbd>F</kbd> <kbd>E</kbd> <kbd>M</kbd> tools</span><span><kbd>1</kbd> interior <kbd>2</kbd> membrane</span><span><kbd>[</kbd> <kbd>]</kbd> size</span>
    <span><kbd>Z</kbd> undo <kbd>P</kbd> predict <kbd>T</kbd> train</span><span><kbd>←</kbd> <kbd>→</kbd> section, with <kbd>Shift</kbd> and arrows move</span><span><kbd>+</kbd> <kbd>−</kbd> zoom</span><span><kbd>H</kbd> hides the prediction</span></div>`;

// The window around a place: px of the level at which it is no wider than WIDEST.
function windowOf(model) {
  const levels = model.get("levels"), [z, y, x] = model.get("place"), extent = model.get("extent");
  const level = Math.min(levels.length - 1, Math.max(0, Math.ceil(Math.log2(extent / WIDEST))));
  const [, height, width] = levels[level];
  const span = (middle, size) => {
    const n = Math.min(Math.round(extent / 2 ** level), size);
    return [Math.min(Math.max(Math.round(middle / 2 ** level - n / 2), 0), size - n), n];
  };
  const [[top, high], [left, wide]] = [span(y, height), span(x, width)];
  return { z: Math.round(z), y: top, x: left, height: high, width: wide, level };
}

const sameWindow = (a, b) => a && b && ["z", "y", "x", "height", "width", "level"].every(name => a[name] === b[name]);
const copied = view => new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

// Gray values with the prediction and the strokes in colour, as one picture.
function mixed({ window, gray, painted, probability, known }, opacity) {
  const image = new ImageData(window.width, window.height), data = image.data;
  for (let i = 0, at = 0; i < gray.length; i++, at += 4) {
    const part = known[i] ? (opacity * probability[i]) / 255 : 0;
    const stroke = COLOURS[painted[i]];
    for (let c = 0; c < 3; c++) {
      let value = gray[i] * (1 - part) + PREDICTED[c] * part;
      if (stroke) value = value * (1 - PAINTED_ALPHA) + stroke[c] * PAINTED_ALPHA;
      data[at + c] = value;
    }
    data[at + 3] = 255;
  }
  return image;
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "emkit-paint";
  root.innerHTML = PAGE;
  el.replaceChildren(root);
  const find = selector => root.querySelector(selector);
  const canvas = find("canvas"), context = canvas.getContext("2d"), offscreen = new OffscreenCanvas(1, 1);
  const ended = new AbortController();
  const listen = (target, event, action, options) => target.addEventListener(event, action, { signal: ended.signal, ...options });
  for (const [name, words, key, title] of TOOLS) make("button", find(".tool"), words, { type: "button", "data-tool": name, title: `${title} (${key})` });

  let picture = null; // what arrived last: its window and four arrays
  let waiting = false; // for a window: one at a time, so that who drags is not ahead of the line
  let way = []; // [y, x] px at full size, while the pointer is down
  let pointer = null, hidden = false, stale = true, frame = 0, dragged = null;

  const scaleOf = window => 2 ** window.level;
  const ask = (what, more = {}) => model.send({ do: what, window: windowOf(model), ...more });
  const look = () => {
    const window = windowOf(model);
    if (waiting || sameWindow(window, picture?.window)) return;
    waiting = true;
    canvas.setAttribute("aria-busy", "true");
    ask("look");
  };
  const schedule = () => { frame ||= requestAnimationFrame(paint); };

  function paint() {
    frame = 0;
    if (!picture) return;
    const { window } = picture, ratio = devicePixelRatio;
    const wide = Math.round(canvas.clientWidth * ratio), high = Math.round((wide * window.height) / window.width);
    if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
    if (stale) {
      [offscreen.width, offscreen.height] = [window.width, window.height];
      offscreen.getContext("2d").putImageData(mixed(picture, hidden ? 0 : model.get("opacity")), 0, 0);
      stale = false;
    }
    const shown = wide / window.width, full = shown / scaleOf(window); // canvas px for a px of the window, and at full size
    context.imageSmoothingEnabled = shown < 2;
    context.drawImage(offscreen, 0, 0, wide, high);
    const onCanvas = ([y, x]) => [(x + 0.5 - window.x * scaleOf(window)) * full, (y + 0.5 - window.y * scaleOf(window)) * full];
    const tool = model.get("tool"), radius = model.get("radius") * full;
    if (way.length && tool !== "fill") {
      context.strokeStyle = tool === "erase" ? "rgba(255, 255, 255, 0.5)" : `rgba(${COLOURS[model.get("value")]}, 0.5)`;
      [context.lineWidth, context.lineCap, context.lineJoin] = [2 * radius, "round", "round"];
      context.beginPath();
      way.forEach((point, k) => context[k ? "lineTo" : "moveTo"](...onCanvas(point)));
      if (way.length === 1) context.lineTo(...onCanvas(way[0]));
      context.stroke();
    }
    if (pointer && tool !== "move") {
      context.strokeStyle = "white";
      context.lineWidth = ratio;
      context.beginPath();
      context.arc(...onCanvas(pointer), tool === "fill" ? 4 * ratio : Math.max(radius, 1), 0, 2 * Math.PI);
      context.stroke();
    }
    canvas.dataset.frames = Number(canvas.dataset.frames ?? 0) + 1; // tests wait for a drawn frame
  }

  function show() {
    const [z] = model.get("place"), [[depth]] = model.get("levels"), window = windowOf(model);
    for (const button of root.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === model.get("tool")));
    for (const button of root.querySelectorAll("[data-value]")) button.setAttribute("aria-pressed", String(Number(button.dataset.value) === model.get("value")));
    const told = { radius: `${(2 * model.get("radius")).toFixed(0)} px`, threshold: `${Math.round(100 * model.get("threshold"))} %`, opacity: null };
    for (const [name, words] of Object.entries(told)) {
      find(`.${name}`).value = model.get(name);
      if (words) find(`.${name} + output`).textContent = words;
    }
    find(".section").max = depth - 1;
    find(".section").value = Math.round(z);
    const nm = model.get("pixel_nm") * scaleOf(window);
    find(".section + output").textContent = `${Math.round(z)} / ${depth - 1} · ${window.width} px of ${Number(nm.toPrecision(3))} nm`;
    find(".counted").textContent = model.get("counted");
    find(".model").textContent = `Model: ${model.get("model_name")}`;
    const busy = model.get("busy");
    find(".busy").textContent = busy && `${busy} …`;
    for (const name of [".predict", ".train", ".places"]) find(name).disabled = Boolean(busy);
    find(".many").hidden = !model.get("places").length;
    find(".trouble").textContent = model.get("trouble");
    root.dataset.tool = model.get("tool");
    look();
    stale = true;
    schedule();
  }

  const arrived = (message, buffers) => {
    if (message.refused) { waiting = false; return; }
    if (message.picture) {
      const [gray, painted, probability, known] = buffers.map(copied);
      picture = { window: message.picture, gray, painted, probability, known };
      waiting = false;
      canvas.setAttribute("aria-busy", "false");
      look(); // the page may have moved on meanwhile
      canvas.dataset.known = String(known.some(Boolean));
    } else if (message.painted && picture && sameWindow(message.painted, picture.window)) picture.painted = copied(buffers[0]);
    else return;
    canvas.dataset.painted = picture.painted.reduce((sum, value) => sum + (value > 0), 0);
    canvas.setAttribute("aria-label", `Section ${picture.window.z}`);
    stale = true;
    schedule();
  };
  model.on("msg:custom", arrived);

  const change = values => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const goTo = (z, y, x) => {
    const [[depth, height, width]] = model.get("levels"), half = model.get("extent") / 2;
    const bounded = (at, size) => (size <= 2 * half ? size / 2 : Math.min(Math.max(at, half), size - half));
    change({ place: [Math.min(Math.max(z, 0), depth - 1), bounded(y, height), bounded(x, width)] });
  };
  const moveBy = (z, y, x) => goTo(...model.get("place").map((at, k) => at + [z, y, x][k]));
  const zoomBy = factor => {
    const levels = model.get("levels"), most = Math.min(WIDEST * 2 ** (levels.length - 1), Math.max(...levels[0].slice(1)));
    change({ extent: Math.min(Math.max(Math.round(model.get("extent") * factor), CLOSEST), Math.max(most, CLOSEST)) });
    moveBy(0, 0, 0);
  };
  const nextPlace = () => {
    const places = model.get("places");
    if (!places.length) return;
    const at = places.map(([low, high]) => low.map((value, k) => (value + high[k]) / 2));
    const here = model.get("place"), far = place => Math.hypot(...place.map((value, k) => value - here[k]));
    const nearest = at.reduce((best, place, k) => (far(place) < far(at[best]) ? k : best), 0);
    goTo(...at[far(at[nearest]) < 1 ? (nearest + 1) % at.length : nearest]);
  };
  const train = () => { if (!model.get("busy")) ask("train"); };
  const predict = () => { if (!model.get("busy")) ask("predict"); };
  const resize = factor => change({ radius: Math.min(Math.max(model.get("radius") * factor, 0.5), 40) });
  const step = () => model.get("extent") / 2;
  const keys = {
    ...Object.fromEntries(TOOLS.map(([name, , key]) => [key.toLowerCase(), () => change({ tool: name })])),
    1: () => change({ value: 1 }), 2: () => change({ value: 2 }),
    "[": () => resize(1 / 1.25), "]": () => resize(1.25),
    z: () => ask("undo"), p: predict, t: train, n: nextPlace,
    h: () => { hidden = !hidden; stale = true; schedule(); },
    "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2),
    ArrowRight: shift => (shift ? moveBy(0, 0, step()) : moveBy(1, 0, 0)), ArrowLeft: shift => (shift ? moveBy(0, 0, -step()) : moveBy(-1, 0, 0)),
    ArrowDown: shift => shift && moveBy(0, step(), 0), ArrowUp: shift => shift && moveBy(0, -step(), 0),
  };

  // Of a pointer: where it is, px at full size.
  const under = event => {
    const box = canvas.getBoundingClientRect(), window = picture.window, scale = (window.width / box.width) * scaleOf(window);
    return [(event.clientY - box.top) * scale + window.y * scaleOf(window) - 0.5, (event.clientX - box.left) * scale + window.x * scaleOf(window) - 0.5];
  };
  listen(canvas, "pointerdown", event => {
    if (!picture) return;
    canvas.setPointerCapture(event.pointerId);
    if (model.get("tool") === "move" || event.button) dragged = [event, model.get("place")];
    else way = [under(event)];
    schedule();
  });
  listen(canvas, "pointermove", event => {
    if (!picture) return;
    pointer = under(event);
    if (dragged) {
      const [from, [z, y, x]] = dragged, scale = (picture.window.width / canvas.clientWidth) * scaleOf(picture.window);
      goTo(z, y - (event.clientY - from.clientY) * scale, x - (event.clientX - from.clientX) * scale);
    } else if (way.length) way.push(...event.getCoalescedEvents().map(under));
    schedule();
  });
  const finish = () => {
    dragged = null;
    if (!way.length) return;
    ask("paint", { tool: model.get("tool"), value: model.get("value"), radius: model.get("radius"), points: way, window: picture.window });
    way = [];
    schedule();
  };
  listen(canvas, "pointerup", finish);
  listen(canvas, "pointercancel", finish);
  listen(canvas, "pointerleave", () => { pointer = null; schedule(); });
  listen(canvas, "contextmenu", event => event.preventDefault());
  listen(canvas, "wheel", event => {
    if (!event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 0.5 : 2);
  }, { passive: false });
  listen(root, "keydown", event => {
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || (event.target.matches("input") && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    event.stopPropagation(); // letters are commands of the notebook too
    action(event.shiftKey);
  });
  for (const button of root.querySelectorAll("[data-tool]")) listen(button, "click", () => change({ tool: button.dataset.tool }));
  for (const button of root.querySelectorAll("[data-value]")) listen(button, "click", () => change({ value: Number(button.dataset.value) }));
  for (const name of ["radius", "threshold", "opacity"]) listen(find(`.${name}`), "input", event => change({ [name]: Number(event.target.value) }));
  listen(find(".section"), "input", event => goTo(Number(event.target.value), ...model.get("place").slice(1)));
  for (const [name, action] of [["undo", () => ask("undo")], ["predict", predict], ["train", train], ["places", () => ask("places")], ["next", nextPlace]]) listen(find(`.${name}`), "click", action);

  const watched = ["levels", "place", "extent", "places", "tool", "value", "radius", "threshold", "opacity", "model_name", "counted", "busy", "trouble"].map(name => `change:${name}`).join(" ");
  model.on(watched, show);
  const resized = new ResizeObserver(schedule);
  resized.observe(canvas);
  show();
  return () => {
    ended.abort();
    resized.disconnect();
    cancelAnimationFrame(frame);
    model.off(watched, show);
    model.off("msg:custom", arrived);
  };
}

export default { render };
