// A plot and a table of pairs of sections, one selection for both. Each pair: {fixed, moving, names, snr, residual_px, flagged, reasons}.
const HEIGHT = 190, LEFT = 44, RIGHT = 14, TOP = 14, BOTTOM = 34;

function number(value, digits) {
  return value === null ? "–" : value.toFixed(digits);
}

function told(pair) {
  const reasons = pair.flagged ? `: ${pair.reasons.join("; ")}` : "";
  return `${pair.names[0]} → ${pair.names[1]}, SNR ${number(pair.snr, 1)}${reasons}`;
}

// Above the axis of sections each pair is a point midway between its two; one that bridges others spans them with a line.
function plot(svg, pairs, threshold, selected, choose) {
  const width = Math.max(svg.clientWidth, 240);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.replaceChildren();
  const top = 1.12 * Math.max(threshold, ...pairs.map((pair) => pair.snr));
  const sections = Math.max(...pairs.map((pair) => pair.moving), 1) + 1;
  const x = (z) => LEFT + ((z + 0.5) * (width - LEFT - RIGHT)) / sections;
  const y = (snr) => HEIGHT - BOTTOM - (snr / top) * (HEIGHT - TOP - BOTTOM);
  const size = roundStep(top, 4);
  for (let snr = 0; snr <= top; snr += size) {
    draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(snr), y2: y(snr), class: "grid" }, svg);
    draw("text", { x: LEFT - 8, y: y(snr) + 4, class: "scale end" }, svg, +snr.toPrecision(3));
  }
  const every = Math.max(1, Math.round(roundStep(sections, width / 40)));
  for (let z = 0; z < sections; z += every) draw("text", { x: x(z), y: HEIGHT - 18, class: "scale middle" }, svg, z);
  draw("text", { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 3, class: "scale middle" }, svg, "section");
  draw("text", { x: 12, y: HEIGHT / 2 - 8, class: "scale middle", transform: `rotate(-90 12 ${HEIGHT / 2 - 8})` }, svg, "SNR of the pair");
  draw("line", { x1: LEFT, x2: width - RIGHT, y1: y(threshold), y2: y(threshold), class: "threshold" }, svg);
  draw("text", { x: LEFT + 6, y: y(threshold) - 5, class: "scale" }, svg, `threshold ${+threshold.toPrecision(3)}`);
  pairs.forEach((pair, i) => {
    const cx = (x(pair.fixed) + x(pair.moving)) / 2, cy = y(pair.snr);
    const group = draw("g", { class: `point${pair.flagged ? " flagged" : ""}${i === selected ? " selected" : ""}` }, svg);
    draw("title", {}, group, told(pair));
    if (pair.moving - pair.fixed > 1) draw("line", { x1: x(pair.fixed), x2: x(pair.moving), y1: cy, y2: cy, class: "span" }, group);
    draw("circle", { cx, cy, r: 11, class: "hit" }, group);
    if (i === selected) draw("circle", { cx, cy, r: 9, class: "ring" }, group);
    // a flag is told by its shape too, not by colour alone
    if (pair.flagged) draw("path", { d: `M${cx - 5.5} ${cy}L${cx} ${cy - 5.5}L${cx + 5.5} ${cy}L${cx} ${cy + 5.5}Z` }, group);
    else draw("circle", { cx, cy, r: 4 }, group);
    group.addEventListener("click", () => choose(i));
  });
}

function cell(row, text, kind = "td") {
  const node = document.createElement(kind);
  node.textContent = text;
  row.appendChild(node);
}

function rows(body, pairs, selected, choose) {
  body.replaceChildren();
  pairs.forEach((pair, i) => {
    const row = document.createElement("tr");
    row.className = `${pair.flagged ? "flagged" : ""}${i === selected ? " selected" : ""}`;
    row.tabIndex = i === selected ? 0 : -1;
    row.setAttribute("aria-selected", i === selected);
    cell(row, `${pair.fixed} → ${pair.moving}`);
    cell(row, pair.names.join(" → "));
    cell(row, number(pair.snr, 1));
    cell(row, number(pair.residual_px, 2));
    cell(row, pair.flagged ? "◆ flagged" : "good");
    cell(row, pair.reasons.join("; "));
    row.addEventListener("click", () => choose(i));
    body.appendChild(row);
  });
}

function render({ model, el }) {
  el.classList.add("emkit-pairs");
  const svg = draw("svg", { height: HEIGHT, role: "img", "aria-label": "SNR of each pair of sections" }, el);
  const frame = document.createElement("div");
  frame.className = "emkit-table";
  frame.innerHTML = "<table><thead><tr><th>Pair</th><th>Sections</th><th>SNR</th><th>Residual (px)</th><th>Flag</th><th>Why</th></tr></thead><tbody></tbody></table>";
  el.appendChild(frame);
  const body = frame.querySelector("tbody");

  const choose = (i) => {
    model.set("selected", Math.min(Math.max(i, 0), model.get("pairs").length - 1));
    model.save_changes();
  };
  const drawAll = () => {
    const focused = frame.contains(document.activeElement);
    plot(svg, model.get("pairs"), model.get("threshold"), model.get("selected"), choose);
    rows(body, model.get("pairs"), model.get("selected"), choose);
    const row = body.children[model.get("selected")];
    if (row) {
      if (focused) row.focus({ preventScroll: true });
      const below = row.offsetTop + row.offsetHeight - frame.clientHeight, above = row.offsetTop - row.offsetHeight;
      frame.scrollTop = Math.min(Math.max(frame.scrollTop, below), above); // never the page itself
    }
  };
  frame.addEventListener("keydown", (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    choose(model.get("selected") + move);
  });
  const watcher = new ResizeObserver(drawAll); // also once it has a place on the page
  watcher.observe(el);
  model.on("change:pairs change:selected change:threshold", drawAll);
  return () => {
    watcher.disconnect();
    model.off("change:pairs change:selected change:threshold", drawAll);
  };
}

export default { render };
