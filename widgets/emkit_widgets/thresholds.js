// The histogram of pixels with two lines to be moved. Python counts; here it is drawn. The axis of values is linear within the noise and
// logarithmic beyond, that of pixels logarithmic, so that noise, electrons and X-rays are all in sight.
const HEIGHT = 320, LEFT = 48, RIGHT = 16, TOP = 46, BOTTOM = 34;
const LINES = { background: { label: "background", digits: 2, row: 14 }, xray: { label: "X-ray limit", digits: 1, row: 34 } };
const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
const TICKS = [1, 2, 5].flatMap((factor) => [1, 10, 100, 1000, 10000, 100000].map((power) => factor * power));

// ADU to px and back.
function axis(model, width) {
  const [, mean, sigma] = model.get("noise"), unit = 3 * Math.max(sigma, 0.3);
  const to = (adu) => Math.asinh((adu - mean) / unit);
  const first = Math.min(model.get("begins"), 0), end = model.get("begins") + model.get("histogram").length;
  const last = Math.max(end, 1.1 * model.get("xray"), first + 1);
  const perPx = (to(last) - to(first)) / (width - LEFT - RIGHT);
  return { first, last, px: (adu) => LEFT + (to(adu) - to(first)) / perPx, adu: (px) => mean + unit * Math.sinh(to(first) + (px - LEFT) * perPx) };
}

// The mean of the bins that a column of the screen shows.
function density(model, from, to) {
  const bins = model.get("histogram"), begin = model.get("begins");
  const a = Math.floor(from - begin), b = Math.min(Math.max(Math.floor(to - begin), a + 1), bins.length);
  let sum = 0;
  for (let k = Math.max(a, 0); k < b; k++) sum += bins[k];
  return b > a ? sum / (b - a) : 0;
}

function plot(group, model, width) {
  group.replaceChildren();
  const bins = model.get("histogram");
  if (!bins.length) return;
  const { px, adu, first, last } = axis(model, width), [noise, mean, sigma] = model.get("noise");
  const top = Math.log10(1 + Math.max(noise, bins.reduce((most, n) => Math.max(most, n), 1))) * 1.04;
  const y = (count) => HEIGHT - BOTTOM - (Math.log10(1 + count) / top) * (HEIGHT - TOP - BOTTOM);
  for (let power = 0; power <= top; power += top > 6 ? 2 : 1) {
    draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(10 ** power), y2: y(10 ** power), class: "grid" }, group);
    const label = draw("text", { x: LEFT - 8, y: y(10 ** power) + 4, class: "scale end" }, group, power ? "10" : "1");
    if (power > 1) draw("tspan", { dy: -5, "font-size": 8 }, label, power);
  }
  let free = -Infinity;
  for (const value of [0, ...TICKS].sort((a, b) => a - b)) {
    if (value < first || value > last || px(value) - free < 30) continue;
    free = px(value);
    draw("line", { x1: free, x2: free, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4, class: "grid" }, group);
    draw("text", { x: free, y: HEIGHT - 18, class: "scale middle" }, group, value);
  }
  draw("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, class: "scale middle" }, group, "value of a pixel (ADU)");
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  draw("text", { x: 11, y: middle, class: "scale middle", transform: `rotate(-90 11 ${middle})` }, group, "pixels");
  const columns = Array.from({ length: Math.floor(width - LEFT - RIGHT) }, (_, k) => LEFT + k);
  const steps = columns.map((at) => `${at} ${y(density(model, adu(at), adu(at + 1))).toFixed(1)}`);
  draw("path", { d: `M${LEFT} ${y(0)}L${steps.join("L")}V${y(0)}Z`, class: "pixels" }, group);
  const bell = columns.map((at) => [at, noise * Math.exp(-0.5 * ((adu(at + 0.5) - mean) / sigma) ** 2)]).filter(([, count]) => count > 0.3);
  if (bell.length) draw("path", { d: `M${bell.map(([at, count]) => `${at} ${y(count).toFixed(1)}`).join("L")}`, class: "noise" }, group);
}

function render({ model, el }) {
  el.classList.add("emkit-thresholds");
  const svg = draw("svg", { height: HEIGHT, role: "group", "aria-label": "Histogram of pixels, with the thresholds" }, el);
  const plotted = draw("g", {}, svg), counted = draw("rect", { y: TOP, height: HEIGHT - TOP - BOTTOM, class: "counted" }, svg);
  const width = () => Math.max(svg.clientWidth, 240);
  const keep = (name, adu) => Math.min(Math.max(adu, name === "background" ? 0 : model.get("background") + 1),
                                       name === "background" ? model.get("xray") - 1 : axis(model, width()).last);
  const move = (name, adu) => {
    model.set(name, Number(keep(name, adu).toFixed(LINES[name].digits)));
    model.save_changes(); // at most one message is under way; what comes meanwhile is joined
  };

  const drawn = {};
  for (const [name, line] of Object.entries(LINES)) {
    const group = draw("g", { class: `line ${name}`, role: "slider", tabindex: 0, "aria-label": `${line.label}, ADU`, "aria-valuemin": 0 }, svg);
    draw("rect", { x: -12, y: 0, width: 24, height: HEIGHT - BOTTOM, class: "hit" }, group);
    draw("line", { y1: line.row + 5, y2: HEIGHT - BOTTOM, x1: 0, x2: 0 }, group);
    draw("rect", { x: -5, y: line.row - 7, width: 10, height: 14, rx: 3, class: "grip" }, group);
    drawn[name] = { group, text: draw("text", { y: line.row + 4 }, group) };
    group.addEventListener("pointerdown", (event) => { group.setPointerCapture(event.pointerId); group.focus(); event.preventDefault(); });
    group.addEventListener("pointermove", (event) => {
      if (group.hasPointerCapture(event.pointerId)) move(name, axis(model, width()).adu(event.clientX - svg.getBoundingClientRect().left));
    });
    group.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation(); // arrows choose cells of the notebook too
      move(name, model.get(name) + step * (event.shiftKey ? 0.1 : 1));
    });
  }

  const drawLines = () => {
    const { px } = axis(model, width());
    for (const [name, { group, text }] of Object.entries(drawn)) {
      const { label, digits } = LINES[name], at = px(model.get(name)), value = model.get(name).toFixed(digits), left = at > width() / 2;
      group.setAttribute("transform", `translate(${at} 0)`);
      text.setAttribute("x", left ? -11 : 11);
      text.setAttribute("class", left ? "end" : "");
      text.textContent = `${label} ${value} ADU`;
      group.setAttribute("aria-valuenow", value);
      group.setAttribute("aria-valuetext", `${value} ADU`);
    }
    counted.setAttribute("x", px(model.get("background")));
    counted.setAttribute("width", Math.max(px(model.get("xray")) - px(model.get("background")), 0));
  };
  const drawAll = () => {
    svg.setAttribute("viewBox", `0 0 ${width()} ${HEIGHT}`);
    plot(plotted, model, width());
    drawLines();
  };
  const watcher = new ResizeObserver(drawAll); // also once it has a place on the page
  watcher.observe(el);
  const watched = "change:histogram change:begins change:noise change:background change:xray";
  model.on(watched, drawAll);
  return () => {
    watcher.disconnect();
    model.off(watched, drawAll);
  };
}

export default { render };
