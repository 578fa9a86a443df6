// Two sections side by side and, once three pairs of points are placed, laid over each other: the first red, the second cyan.
// pairs: [y, x in the first, y, x in the second], px of the sections; a shown px is `step` of theirs.
const NEED = 3, FAST = 10;

// The affine rows [[yy, yx, y0], [xy, xx, x0]] that takes the first points to the second best; null where they are in line.
function fit(pairs) {
  const normal = [[0, 0, 0], [0, 0, 0], [0, 0, 0]], pull = [[0, 0], [0, 0], [0, 0]];
  for (const [y, x, v, u] of pairs) {
    const basis = [y, x, 1];
    basis.forEach((a, i) => {
      basis.forEach((b, j) => { normal[i][j] += a * b; });
      pull[i][0] += a * v;
      pull[i][1] += a * u;
    });
  }
  const det = (m) => m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
  const whole = det(normal);
  if (Math.abs(whole) < 1e-3 * normal[0][0] * normal[1][1]) return null;
  const solve = (column) => [0, 1, 2].map((k) => det(normal.map((row, i) => row.map((value, j) => (j === k ? pull[i][column] : value)))) / whole);
  return [solve(0), solve(1)];
}

function tinted(image, colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  const ink = canvas.getContext("2d");
  ink.drawImage(image, 0, 0);
  ink.globalCompositeOperation = "multiply";
  ink.fillStyle = colour;
  ink.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

function mark(ink, [y, x], label, colour, scale) {
  const size = 7 * scale;
  ink.font = `bold ${13 * scale}px sans-serif`;
  ink.lineJoin = "round";
  ink.fillStyle = colour;
  for (const [stroke, width] of [["#000", 5], [colour, 2]]) { // the dark one is a halo: sections are bright and dark
    ink.strokeStyle = stroke;
    ink.lineWidth = width * scale;
    ink.beginPath();
    ink.moveTo(x - size, y); ink.lineTo(x + size, y); ink.moveTo(x, y - size); ink.lineTo(x, y + size);
    ink.stroke();
    if (stroke !== colour) ink.strokeText(label, x + size, y - size / 2);
  }
  ink.fillText(label, x + size, y - size / 2);
}

function render({ model, el }) {
  el.classList.add("emkit-points");
  make("p", el, "Click the same place in both, or move the cross with the arrow keys (Shift: fast) and press Enter. Delete takes the last back.", { class: "emkit-remark" });
  const row = make("div", el, undefined, { class: "three" });
  const views = ["first", "second", "both"].map((name) => {
    const figure = make("figure", row), canvas = make("canvas", figure, undefined, { "aria-label": `${name} section`, ...(name === "both" ? {} : { tabindex: "0" }) });
    return { canvas, caption: make("figcaption", figure), cross: null, image: null };
  });
  const [first, second, both] = views;
  const line = make("div", el, undefined, { class: "emkit-buttons" });
  const button = (text, act, kind = "") => {
    const node = make("button", line, text, { class: `jupyter-button widget-button ${kind}`, type: "button" });
    node.addEventListener("click", act);
    return node;
  };
  const use = button("Use these points", () => model.send({ use: model.get("pairs") }), "mod-primary");
  button("Take the last back", () => drop());
  button("Close", () => model.send({ use: null }));
  let pending = null;

  const save = (pairs) => { model.set("pairs", pairs); model.save_changes(); drawAll(); };
  const drop = () => { if (pending) { pending = null; drawAll(); } else save(model.get("pairs").slice(0, -1)); };
  const place = (view, [y, x]) => {
    const step = model.get("step"), full = [y, x].map((value) => (value + 0.5) * step - 0.5);
    if (view === first) { pending = full; second.canvas.focus(); drawAll(); return; }
    if (!pending) { first.canvas.focus(); return; }
    const pair = [...pending, ...full];
    pending = null;
    save([...model.get("pairs"), pair]);
    first.canvas.focus();
  };
  const shown = ([y, x]) => [y, x].map((value) => (value + 0.5) / model.get("step") - 0.5);

  const drawOne = (view, k) => {
    if (!view.image) return;
    [view.canvas.width, view.canvas.height] = [view.image.width, view.image.height];
    const ink = view.canvas.getContext("2d"), scale = view.image.width / Math.max(view.canvas.clientWidth, 1);
    ink.drawImage(view.image, 0, 0);
    model.get("pairs").forEach((pair, i) => mark(ink, shown(pair.slice(2 * k, 2 * k + 2)), i + 1, "#ffeb3b", scale));
    if (k === 0 && pending) mark(ink, shown(pending), model.get("pairs").length + 1, "#ff9800", scale);
    if (document.activeElement === view.canvas && view.cross) mark(ink, view.cross, "", "#00e5ff", scale);
    view.caption.textContent = model.get("names")[k];
  };
  const drawBoth = () => {
    const pairs = model.get("pairs"), affine = pairs.length >= NEED ? fit(pairs) : null;
    use.disabled = !affine;
    both.caption.textContent = affine ? "" : pairs.length < NEED ? `${NEED - pairs.length} more to see both` : "the points lie on one line";
    if (!first.image || !second.image) return;
    [both.canvas.width, both.canvas.height] = [first.image.width, first.image.height];
    const ink = both.canvas.getContext("2d");
    if (!affine) return;
    const [[a, b, c], [d, e, f]] = affine, step = model.get("step"), det = a * e - b * d;
    const off = pairs.map(([y, x, v, u]) => Math.hypot(a * y + b * x + c - v, d * y + e * x + f - u));
    both.caption.textContent = pairs.length === NEED ? `${NEED} pairs fit exactly: a fourth tells how well` : `${pairs.length} pairs, off by ${Math.max(...off).toFixed(1)} px at most`;
    ink.drawImage(tinted(first.image, "#f00"), 0, 0);
    ink.globalCompositeOperation = "lighter";
    const half = (1 - 1 / step) / 2, [tv, tu] = [c / step + (a + b - 1) * half, f / step + (d + e - 1) * half]; // shown px
    // the second is drawn where the first has the same place: the inverse; canvas order is x, y
    ink.setTransform(a / det, -b / det, -d / det, e / det, (-a * tu + d * tv) / det, (-e * tv + b * tu) / det);
    ink.drawImage(tinted(second.image, "#0ff"), 0, 0);
  };
  const drawAll = () => { drawOne(first, 0); drawOne(second, 1); drawBoth(); };

  [first, second].forEach((view) => {
    view.canvas.addEventListener("click", (event) => {
      const box = view.canvas.getBoundingClientRect(), scale = view.canvas.width / box.width;
      place(view, [(event.clientY - box.top) * scale - 0.5, (event.clientX - box.left) * scale - 0.5]);
    });
    view.canvas.addEventListener("focus", () => { view.cross ??= [view.canvas.height / 2, view.canvas.width / 2]; drawAll(); });
    view.canvas.addEventListener("blur", drawAll);
    view.canvas.addEventListener("keydown", (event) => {
      const by = event.shiftKey ? FAST : 1, move = { ArrowUp: [-by, 0], ArrowDown: [by, 0], ArrowLeft: [0, -by], ArrowRight: [0, by] }[event.key];
      if (move) {
        const last = [view.canvas.height - 1, view.canvas.width - 1];
        view.cross = view.cross.map((value, k) => Math.min(Math.max(value + move[k], 0), last[k]));
        drawAll();
      } else if (event.key === "Enter") place(view, view.cross);
      else if (event.key === "Delete" || event.key === "Backspace") drop();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  });
  const load = (view, name) => createImageBitmap(new Blob([model.get(name)], { type: "image/png" })).then((image) => { view.image = image; drawAll(); });
  load(first, "first");
  load(second, "second");
  const watcher = new ResizeObserver(drawAll);
  watcher.observe(el);
  model.on("change:pairs", drawAll);
  return () => { watcher.disconnect(); model.off("change:pairs", drawAll); };
}

export default { render };
