// The course of a training: loss and scores over steps, the newest picture, Pause, Continue and Stop. Python reads them; here they are drawn, and asked for while in sight.
const BUSY_MS = 1000, QUIET_MS = 3000;
const HEIGHT = 190, LEFT = 46, RIGHT = 16, TOP = 24, BOTTOM = 34;
const SAID = {
  none: "Loss, scores and pictures appear here when the training runs.",
  running: "Pause keeps what was learned until the last checkpoint. Stop ends the training with a model of its best part.",
  paused: "Paused at the last checkpoint.",
  stopping: "Stopping: the model of the best part is written.",
  done: "",
};

// Lines [[x, y], …] by their names over one axis of steps; `low` and `high` are the ends of the axis of values.
function plot(parent, title, lines, [low, high]) {
  const svg = draw("svg", { height: HEIGHT, role: "img", "aria-label": `${title} over the steps of the training` }, parent);
  const width = Math.max(svg.clientWidth, 240);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const last = Math.max(1, ...Object.values(lines).flat().map(([x]) => x));
  const x = (step) => LEFT + (step / last) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  draw("text", { x: LEFT, y: 12, class: "title" }, svg, title);
  const size = roundStep(high - low, 4);
  for (let k = Math.ceil(low / size - 1e-9); k * size <= high + 1e-9; k++) {
    draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(k * size), y2: y(k * size), class: "grid" }, svg);
    draw("text", { x: LEFT - 8, y: y(k * size) + 4, class: "scale end" }, svg, +(k * size).toPrecision(6));
  }
  const every = Math.max(1, roundStep(last, width / 80));
  for (let step = 0; step <= last; step += every) draw("text", { x: x(step), y: HEIGHT - 18, class: "scale middle" }, svg, step);
  draw("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, class: "scale middle" }, svg, "step");
  Object.entries(lines).forEach(([name, points], k) => {
    const group = draw("g", { class: `line line-${k}` }, svg);
    draw("polyline", { points: points.map(([step, value]) => `${x(step)},${y(value)}`).join(" ") }, group);
    if (points.length > 30) return;
    for (const [step, value] of points) draw("title", {}, draw("circle", { cx: x(step), cy: y(value), r: 3.5 }, group), `${name} ${value.toFixed(4)} at step ${step}`);
  });
  return svg;
}

// Scores are at most 1; the axis begins where they do. Both places are made before either is drawn: each takes its part of the width.
function curves(box, loss, scores) {
  box.replaceChildren();
  const values = Object.values(scores).flat().map(([, value]) => value);
  const left = loss.length ? make("div", box) : null, right = values.length ? make("div", box) : null;
  if (left) plot(left, "Loss", { Loss: loss }, [0, 1.08 * Math.max(...loss.map(([, value]) => value))]);
  if (!right) return;
  plot(right, "Scores on what was left out", scores, [Math.max(0, Math.min(...values, 0.9) - 0.05), 1]);
  const legend = make("div", right, undefined, { class: "legend" });
  Object.keys(scores).forEach((name, k) => make("span", legend, name, { class: `key key-${k}` }));
}

function render({ model, el }) {
  el.classList.add("emkit-curves");
  const head = make("div", el, undefined, { class: "head" });
  const [pause, resume, stop] = [["Pause", "pause"], ["Continue", "go_on"], ["Stop, keep the model", "stop"]].map(([words, what]) => {
    const button = make("button", head, words, { type: "button", class: "jupyter-button" });
    button.addEventListener("click", () => { button.disabled = true; ask({ [what]: true }); });
    return button;
  });
  const said = make("span", head, undefined, { class: "faint", role: "status" });
  const box = make("div", el, undefined, { class: "plots" });
  const told = make("div", el);
  const figure = make("figure", el);
  const picture = make("img", figure, undefined, { alt: "A part of what was left out of the training: image, membranes as found, as labelled" });
  make("figcaption", figure, "Left out of the training: the image, membranes as found, membranes as labelled.");
  let timer = null, inSight = false, shown = "";

  const ask = (message) => { clearTimeout(timer); model.send(message); };
  const watched = () => inSight && document.visibilityState === "visible";
  const next = () => {
    clearTimeout(timer);
    if (watched()) timer = setTimeout(() => ask({}), ["running", "stopping"].includes(model.get("state")) ? BUSY_MS : QUIET_MS);
  };
  const look = () => { if (watched()) ask({}); else clearTimeout(timer); };

  const drawState = () => {
    const state = model.get("state");
    pause.disabled = resume.disabled = false;
    stop.disabled = !model.get("loss").length;
    pause.hidden = stop.hidden = state !== "running";
    resume.hidden = state !== "paused" || !model.get("resumable");
    said.textContent = SAID[state];
    head.hidden = state === "done";
  };
  const drawCurves = () => { curves(box, model.get("loss"), model.get("scores")); told.textContent = model.get("told"); drawState(); };
  const drawSample = () => {
    URL.revokeObjectURL(shown);
    const bytes = model.get("sample");
    figure.hidden = !bytes?.byteLength;
    if (!figure.hidden) picture.src = shown = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  };
  const handlers = [["change:state change:resumable", drawState], ["change:loss change:scores change:told", drawCurves], ["change:sample", drawSample], ["msg:custom", next]];
  for (const [event, handler] of handlers) model.on(event, handler);
  const resized = new ResizeObserver(drawCurves); // also once it has a place on the page
  resized.observe(el);
  const seen = new IntersectionObserver((entries) => { inSight = entries.at(-1).isIntersecting; look(); });
  seen.observe(el);
  document.addEventListener("visibilitychange", look);
  drawCurves();
  drawSample();
  return () => {
    clearTimeout(timer);
    URL.revokeObjectURL(shown);
    resized.disconnect();
    seen.disconnect();
    document.removeEventListener("visibilitychange", look);
    for (const [event, handler] of handlers) model.off(event, handler);
  };
}

export default { render };
