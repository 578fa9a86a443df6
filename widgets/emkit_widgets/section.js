// Sections on a canvas. The kernel sends a section when asked; the page keeps what it got and asks for the neighbours ahead.

const KEPT_BYTES = 256 << 20;
const BLINK_MS = 600; // under three flashes a second
const AHEAD = [1, 2, 3, -1]; // fetched before they are asked for, in the direction of the last step

// The sections that have arrived. Two requests at most are under way, one of them for what is wanted now: a slider that runs ahead of
// the line skips what it has passed.
class Store {
  constructor(model, wanted, arrived) {
    this.model = model;
    this.wanted = wanted; // () => [section numbers wanted now, those to fetch ahead], each the most urgent first
    this.arrived = arrived;
    this.kept = new Map(); // z -> section; oldest first
    this.bytes = 0;
    this.pending = new Set();
    this.onMessage = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.onMessage);
  }
  close() { this.model.off("msg:custom", this.onMessage); }
  get(z) { return this.kept.get(z); }
  ask() {
    const [now, ahead] = this.wanted().map(all => all.filter(z => !this.kept.has(z)));
    if (now.length && this.pending.size < 2 && !this.pending.has(now[0])) this.request(now[0]);
    else if (!now.length && ahead.length && !this.pending.size) this.request(ahead[0]);
  }
  request(z) {
    this.pending.add(z);
    this.model.send({ want: z, encoding: encodingOf(this.model) });
  }
  async receive(message, buffers) {
    if (!this.pending.has(message.z)) return; // another view of the same widget asked
    const section = message.error ? { error: message.error, bytes: 0 } : await decoded(message, buffers[0]);
    this.pending.delete(message.z);
    this.kept.set(message.z, section);
    this.bytes += section.bytes;
    for (const z of this.kept.keys()) {
      if (this.bytes <= KEPT_BYTES) break;
      this.bytes -= this.kept.get(z).bytes;
      this.kept.delete(z);
    }
    this.arrived();
    this.ask();
  }
}

const encodingOf = model => {
  const chosen = model.get("encoding");
  if (chosen !== "auto") return chosen;
  return /^(localhost|127\.|\[::1\])/.test(location.hostname) ? "raw" : "jpeg";
};

async function decoded(message, data) {
  const [height, width] = message.shape;
  let values;
  if (message.encoding === "jpeg") {
    const picture = await createImageBitmap(new Blob([data], { type: "image/jpeg" }));
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const rgba = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
    values = new Uint8Array(rgba); // a Uint8Array takes the lowest byte of each: red, which in grey is all there is
  } else {
    const bytes = data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength); // 16 bits want an even address
    values = message.bits === 16 ? new Uint16Array(bytes) : new Uint8Array(bytes);
  }
  return { ...message, values, bytes: values.byteLength };
}

// The grey level (0-255) of every code under a window of values.
function greys(section, [black, white]) {
  const [first, last] = section.range;
  const top = 2 ** section.bits - 1;
  const table = new Uint8ClampedArray(top + 1);
  const scale = 255 / Math.max(white - black, 1e-9);
  for (let code = 0; code <= top; code++) table[code] = (first + (code * (last - first)) / top - black) * scale;
  return table;
}

// One section in grey, or two: the first in red, the second in cyan.
function paint(image, window, one, two) {
  const pixels = new Uint32Array(image.data.buffer);
  const red = greys(one, window);
  if (!two) {
    for (let i = 0; i < pixels.length; i++) pixels[i] = 0xff000000 | (red[one.values[i]] * 0x010101);
    return;
  }
  const cyan = greys(two, window);
  for (let i = 0; i < pixels.length; i++) pixels[i] = 0xff000000 | (cyan[two.values[i]] * 0x010100) | red[one.values[i]];
}

// The longest round length (1, 2 or 5 times a power of ten) that is no longer than `most`, in nm.
function roundLength(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [5, 2, 1].map(factor => factor * power).find(length => length <= most);
}

function scaleBar(context, nmPerPixel, ratio, height) {
  const length = roundLength(180 * ratio * nmPerPixel);
  const width = length / nmPerPixel;
  const text = length >= 1000 ? `${length / 1000} µm` : `${length} nm`;
  const [left, bottom] = [14 * ratio, height - 14 * ratio];
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  context.fillRect(left - 8 * ratio, bottom - 30 * ratio, width + 16 * ratio, 38 * ratio);
  context.fillStyle = "white";
  context.fillRect(left, bottom - 5 * ratio, width, 5 * ratio);
  context.fillText(text, left + width / 2, bottom - 11 * ratio);
  return text;
}

function tag(context, text, colour, ratio) {
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  context.textAlign = "left";
  const width = context.measureText(text).width;
  context.fillStyle = "rgba(0, 0, 0, 0.6)";
  context.fillRect(8 * ratio, 8 * ratio, width + 16 * ratio, 26 * ratio);
  context.fillStyle = colour;
  context.fillText(text, 16 * ratio, 26 * ratio);
}

const CONTROLS = `
  <div class="bar">
    <label class="step">Section <input class="index" type="range" min="0" step="1"><output></output></label>
  </div>
  <div class="bar">
    <span class="modes" role="group" aria-label="How to show">
      <button type="button" data-mode="single">Single</button><button type="button" data-mode="blink">Blink</button><button type="button" data-mode="overlay">Overlay</button>
    </span>
    <label class="against">with section <input class="other" type="number" min="0" step="1"></label>
    <span class="contrast" role="group" aria-label="Contrast">Contrast <input class="black" type="range" step="any" aria-label="Shown black"><input class="white" type="range" step="any" aria-label="Shown white"></span>
  </div>
  <canvas tabindex="0" role="img"></canvas>
  <p class="trouble" role="alert"></p>
  <div class="bar keys"><span><kbd>←</kbd> <kbd>→</kbd> section</span><span><kbd>S</kbd> single <kbd>B</kbd> blink <kbd>O</kbd> overlay</span>
    <span><kbd>+</kbd> <kbd>−</kbd> or <kbd>Ctrl</kbd> wheel zoom, drag to move, <kbd>0</kbd> all</span></div>`;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "emkit-section";
  root.innerHTML = CONTROLS;
  el.replaceChildren(root);
  const find = selector => root.querySelector(selector);
  const [canvas, index, other, black, white] = ["canvas", ".index", ".other", ".black", ".white"].map(find);
  const ended = new AbortController();
  const listen = (target, event, action, options) => target.addEventListener(event, action, { signal: ended.signal, ...options });

  const context = canvas.getContext("2d");
  const offscreen = new OffscreenCanvas(1, 1); // the section at its own size, painted when pixels or window change
  let painted = "";
  let zoom = 1, centre = [0.5, 0.5]; // of the section, in fractions of it
  let second = false; // in a blink: which of the two is shown
  let direction = 1, shownLast = 0; // which way the last step went
  let frame = 0;

  const comparing = () => model.get("mode") !== "single";
  const last = () => model.get("count") - 1;
  const bounded = z => Math.min(Math.max(z, 0), last());
  const nameOf = z => model.get("names")[z] ?? "";
  const wanted = () => {
    const z = model.get("index");
    const ahead = AHEAD.map(step => z + step * direction).filter(near => near >= 0 && near <= last());
    return [comparing() ? [z, model.get("other")] : [z], ahead];
  };
  const store = new Store(model, wanted, schedule);

  function schedule() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    const mode = model.get("mode");
    const [z, with_] = [model.get("index"), model.get("other")];
    const shown = mode === "blink" && second ? with_ : z;
    const one = store.get(shown);
    const two = mode === "overlay" ? store.get(with_) : undefined;
    canvas.setAttribute("aria-busy", String(!one || (mode === "overlay" && !two)));
    find(".trouble").textContent = one?.error ?? two?.error ?? "";
    if (!one?.values || (mode === "overlay" && !two?.values)) return;

    const window = model.get("window");
    const key = JSON.stringify([shown, mode === "overlay" && with_, window]);
    const [height, width] = one.shape;
    if (key !== painted) {
      [offscreen.width, offscreen.height] = [width, height];
      const image = new ImageData(width, height);
      paint(image, window, one, two);
      offscreen.getContext("2d").putImageData(image, 0, 0);
      painted = key;
    }
    const ratio = devicePixelRatio;
    const [w, h] = [canvas.clientWidth, Math.round((canvas.clientWidth * height) / width)].map(size => Math.round(size * ratio));
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const scale = (w / width) * zoom;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, w, h);
    context.imageSmoothingEnabled = scale < 2;
    context.setTransform(scale, 0, 0, scale, w / 2 - centre[0] * width * scale, h / 2 - centre[1] * height * scale);
    context.drawImage(offscreen, 0, 0);
    context.setTransform(1, 0, 0, 1, 0, 0);
    const pixel = model.get("pixel_nm");
    const bar = pixel ? scaleBar(context, (pixel * one.step) / scale, ratio, h) : "";
    if (mode === "blink") tag(context, `section ${shown} ${nameOf(shown)}`, "white", ratio);
    if (mode === "overlay") tag(context, `red ${z}, cyan ${with_}`, "white", ratio);
    canvas.setAttribute("aria-label", `Section ${shown} of ${last()}${nameOf(shown) && `, ${nameOf(shown)}`}${mode === "overlay" ? `, with section ${with_} in cyan` : ""}${bar && `, scale bar ${bar}`}`);
    canvas.dataset.section = shown;
    canvas.dataset.scaleBar = bar;
    canvas.dataset.frames = Number(canvas.dataset.frames ?? 0) + 1; // tests and the benchmark count drawn frames
  }

  function show() {
    const z = model.get("index");
    direction = Math.sign(z - shownLast) || direction;
    shownLast = z;
    const [low, high] = model.get("limits");
    const [from, to] = model.get("window");
    index.max = other.max = last();
    index.value = z;
    other.value = model.get("other");
    for (const slider of [black, white]) [slider.min, slider.max] = [low, high];
    [black.value, white.value] = [from, to];
    find("output").textContent = `${z} / ${last()}${nameOf(z) && ` · ${nameOf(z)}`}`;
    root.dataset.mode = model.get("mode");
    for (const button of root.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.mode === model.get("mode")));
    store.ask();
    schedule();
  }

  const change = values => {
    for (const [name, value] of Object.entries(values)) model.set(name, value);
    model.save_changes();
  };
  const contrast = () => {
    const [from, to] = [Number(black.value), Number(white.value)];
    change({ window: [from, Math.max(to, from + 1e-6)] });
  };
  const zoomBy = factor => {
    zoom = Math.min(Math.max(zoom * factor, 1), 32);
    move(0, 0);
  };
  const move = (x, y) => {
    const margin = 0.5 / zoom; // the section always fills the canvas
    centre = [centre[0] + x, centre[1] + y].map(at => Math.min(Math.max(at, margin), 1 - margin));
    schedule();
  };
  const keys = {
    ArrowRight: () => change({ index: bounded(model.get("index") + 1) }),
    ArrowLeft: () => change({ index: bounded(model.get("index") - 1) }),
    Home: () => change({ index: 0 }),
    End: () => change({ index: last() }),
    s: () => change({ mode: "single" }),
    b: () => change({ mode: "blink" }),
    o: () => change({ mode: "overlay" }),
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: () => { zoom = 1; move(0, 0); },
  };

  listen(index, "input", () => change({ index: Number(index.value) }));
  listen(other, "change", () => change({ other: bounded(Number(other.value)) }));
  listen(black, "input", contrast);
  listen(white, "input", contrast);
  for (const button of root.querySelectorAll("button")) listen(button, "click", () => change({ mode: button.dataset.mode }));
  listen(canvas, "keydown", event => {
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // B is a command of the notebook too
    action();
  });
  listen(canvas, "wheel", event => {
    if (!event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
  }, { passive: false });
  listen(canvas, "pointerdown", event => canvas.setPointerCapture(event.pointerId));
  listen(canvas, "pointermove", event => {
    if (event.buttons & 1) move(-event.movementX / canvas.clientWidth / zoom, -event.movementY / canvas.clientHeight / zoom);
  });

  const watched = ["index", "other", "mode", "window", "limits", "names", "count", "pixel_nm"].map(name => `change:${name}`).join(" ");
  model.on(watched, show);
  const blink = setInterval(() => {
    second = !second;
    if (model.get("mode") === "blink") schedule();
  }, BLINK_MS);
  const resized = new ResizeObserver(schedule);
  resized.observe(canvas);
  show();
  return () => {
    ended.abort();
    clearInterval(blink);
    resized.disconnect();
    cancelAnimationFrame(frame);
    store.close();
    model.off(watched, show);
  };
}

export default { render };
