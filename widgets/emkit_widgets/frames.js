// One frame on a canvas, with a ring around each electron. Python says which; here they are drawn, moved and made larger.
const RING_PX = 5, LINE_PX = 1.5;
const ELECTRON = "#4fc3f7", LEFT_OUT = "#ffb74d";
const CONTROLS = `
  <div class="bar"><label class="step">Frame <input type="range" min="0" step="1"><output></output></label></div>
  <canvas tabindex="0" role="img"></canvas>
  <p class="told" role="status"></p>
  <div class="bar keys"><span><i class="electron"></i> electron</span><span><i class="left-out"></i> left out as an X-ray</span>
    <span><kbd>←</kbd> <kbd>→</kbd> frame</span><span><kbd>+</kbd> <kbd>−</kbd> or <kbd>Ctrl</kbd> wheel zoom, drag to move, <kbd>0</kbd> all</span></div>`;

function indices(view) {
  return new Uint32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)); // they want an even address
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "emkit-frames";
  root.innerHTML = CONTROLS;
  el.append(root);
  const find = (selector) => root.querySelector(selector);
  const canvas = find("canvas"), context = canvas.getContext("2d"), slider = find("input"), ended = new AbortController();
  const listen = (target, event, then, more) => target.addEventListener(event, then, { signal: ended.signal, ...more });
  let picture = null, zoom = 3, centre = [0.5, 0.5], frame = 0;

  const schedule = () => { frame ||= requestAnimationFrame(draw); };

  function rings(view, scale, origin, colour, square) {
    const width = model.get("width"), size = Math.max(RING_PX * devicePixelRatio, 1.2 * scale);
    context.strokeStyle = colour;
    context.lineWidth = LINE_PX * devicePixelRatio;
    context.beginPath();
    for (const index of indices(view)) {
      const x = ((index % width) + 0.5) * scale + origin[0], y = (Math.floor(index / width) + 0.5) * scale + origin[1];
      if (x < -size || y < -size || x > canvas.width + size || y > canvas.height + size) continue;
      if (square) context.rect(x - size, y - size, 2 * size, 2 * size);
      else { context.moveTo(x + size, y); context.arc(x, y, size, 0, 2 * Math.PI); }
    }
    context.stroke();
  }

  function draw() {
    frame = 0;
    if (!picture || !canvas.clientWidth) return;
    const [width, height] = [model.get("width"), model.get("height")];
    const w = Math.round(canvas.clientWidth * devicePixelRatio), h = Math.round((w * height) / width);
    if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
    const scale = (w / width) * zoom, origin = [w / 2 - centre[0] * width * scale, h / 2 - centre[1] * height * scale];
    context.clearRect(0, 0, w, h);
    context.imageSmoothingEnabled = scale < 1.5;
    context.drawImage(picture, origin[0], origin[1], width * scale, height * scale);
    rings(model.get("events"), scale, origin, ELECTRON, false);
    rings(model.get("left_out"), scale, origin, LEFT_OUT, true);
    canvas.dataset.marked = model.get("events").byteLength / 4; // what tests look for
  }

  async function load() {
    const bytes = model.get("picture");
    if (!bytes.byteLength) return;
    picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    schedule();
  }

  function show() {
    const names = model.get("names"), index = model.get("index");
    slider.max = Math.max(names.length - 1, 0);
    slider.value = index;
    slider.disabled = names.length < 2;
    find("output").textContent = names[index] ?? "";
    find(".told").textContent = model.get("told");
    canvas.setAttribute("aria-label", `${names[index] ?? ""}: ${model.get("told")}`);
    schedule();
  }

  const choose = (index) => {
    model.set("index", Math.min(Math.max(index, 0), model.get("names").length - 1));
    model.save_changes();
  };
  const move = (x, y) => {
    const margin = 0.5 / zoom; // the frame always fills the canvas
    centre = [centre[0] + x, centre[1] + y].map((at) => Math.min(Math.max(at, margin), 1 - margin));
    schedule();
  };
  const zoomBy = (factor) => {
    zoom = Math.min(Math.max(zoom * factor, 1), 32);
    move(0, 0);
  };
  const keys = {
    ArrowRight: () => choose(model.get("index") + 1),
    ArrowLeft: () => choose(model.get("index") - 1),
    "+": () => zoomBy(1.5),
    "=": () => zoomBy(1.5),
    "-": () => zoomBy(1 / 1.5),
    0: () => zoomBy(1 / 32),
  };
  listen(slider, "input", () => choose(Number(slider.value)));
  listen(canvas, "keydown", (event) => {
    const action = keys[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation(); // 0 is a command of the notebook too
    action();
  });
  listen(canvas, "wheel", (event) => {
    if (!event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    zoomBy(event.deltaY < 0 ? 1.15 : 1 / 1.15);
  }, { passive: false });
  listen(canvas, "pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  listen(canvas, "pointermove", (event) => {
    if (event.buttons & 1) move(-event.movementX / canvas.clientWidth / zoom, -event.movementY / canvas.clientHeight / zoom);
  });
  const watched = "change:names change:index change:told change:events change:left_out";
  model.on(watched, show);
  model.on("change:picture", load);
  const resized = new ResizeObserver(schedule);
  resized.observe(canvas);
  show();
  load();
  return () => {
    ended.abort();
    resized.disconnect();
    cancelAnimationFrame(frame);
    model.off(watched, show);
    model.off("change:picture", load);
  };
}

export default { render };
