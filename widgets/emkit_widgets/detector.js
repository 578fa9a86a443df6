// A diffraction pattern with a disk and a ring on it, to be moved. Python makes the pattern and the images; here they are pointed out.
// The centre of pixel (ky, kx) is drawn at x = kx + 0.5, y = ky + 0.5.
const RADII = {
  disk_px: { label: "bright-field radius", angle: -45, kind: "disk" },
  inner_px: { label: "dark-field inner radius", angle: 45, kind: "ring" },
  outer_px: { label: "dark-field outer radius", angle: 135, kind: "ring" },
};
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const LEAST_PX = 1;

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "emkit-detector";
  el.append(root);
  const svg = draw("svg", { role: "group", "aria-label": "Mean diffraction pattern with virtual detectors" }, root);
  const image = draw("image", { preserveAspectRatio: "none" }, svg), area = draw("path", { class: "area", "fill-rule": "evenodd" }, svg);
  const told = document.createElement("p");
  told.className = "told";
  const keys = document.createElement("p");
  keys.className = "keys";
  keys.innerHTML = "Drag a circle or the cross; <kbd>Tab</kbd> and arrow keys move them by 1 px, with <kbd>Shift</kbd> by 0.1 px";
  root.append(told, keys);
  let address = "";

  const place = (event) => { // (ky, kx) under the pointer
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    return [at.y - 0.5, at.x - 0.5];
  };
  const set = (name, value) => {
    model.set(name, value);
    model.save_changes(); // at most one message is under way; what comes meanwhile is joined
  };
  const setRadius = (name, value) => {
    const most = Math.hypot(model.get("width"), model.get("height"));
    const least = name === "outer_px" ? model.get("inner_px") + LEAST_PX : name === "inner_px" ? 0 : LEAST_PX;
    const bound = name === "inner_px" ? model.get("outer_px") - LEAST_PX : most;
    set(name, Math.round(10 * Math.min(Math.max(value, least), bound)) / 10);
  };
  const setCentre = ([ky, kx]) => {
    const inside = (at, size) => Math.round(10 * Math.min(Math.max(at, 0), size - 1)) / 10;
    set("centre", [inside(ky, model.get("height")), inside(kx, model.get("width"))]);
  };

  function handle(attributes, pointed, stepped) {
    const group = draw("g", { tabindex: 0, role: "slider", ...attributes }, svg);
    let offset = 0;
    group.addEventListener("pointerdown", (event) => {
      group.setPointerCapture(event.pointerId);
      group.focus({ preventScroll: true });
      event.preventDefault();
      offset = pointed(place(event), null);
    });
    group.addEventListener("pointermove", (event) => {
      if (!group.hasPointerCapture(event.pointerId)) return;
      model.set("moving", true); // goes with what is moved
      pointed(place(event), offset);
    });
    group.addEventListener("lostpointercapture", () => set("moving", false));
    group.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation(); // arrows choose cells of the notebook too
      stepped(step.map((n) => n * (event.shiftKey ? 0.1 : 1)));
    });
    return group;
  }

  const rings = {};
  for (const [name, { label, kind }] of Object.entries(RADII)) {
    const far = ([ky, kx]) => Math.hypot(ky - model.get("centre")[0], kx - model.get("centre")[1]);
    const group = handle({ class: `handle ${kind}`, "aria-label": `${label}, px`, "data-name": name },
      (at, offset) => { // what is grasped beside the line stays beside it
        if (offset === null) return model.get(name) - far(at);
        setRadius(name, far(at) + offset);
      },
      ([y, x]) => setRadius(name, model.get(name) + x - y));
    rings[name] = { group, circles: ["hit", "shown"].map((part) => draw("circle", { class: part }, group)), knob: draw("circle", { class: "knob" }, group) };
  }
  const cross = handle({ class: "handle centre", "aria-label": "centre of the detectors, px" },
    (at, offset) => {
      const [ky, kx] = model.get("centre");
      if (offset === null) return [ky - at[0], kx - at[1]];
      setCentre([at[0] + offset[0], at[1] + offset[1]]);
    },
    ([y, x]) => setCentre([model.get("centre")[0] + y, model.get("centre")[1] + x]));
  const crossed = draw("path", {}, cross), grasp = draw("circle", { class: "grasp" }, cross);

  function drawAll() {
    const [width, height] = [model.get("width"), model.get("height")], [ky, kx] = model.get("centre");
    const unit = width / Math.max(svg.clientWidth, 100), [y, x] = [ky + 0.5, kx + 0.5]; // unit: px of the frame in one of the screen
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const [name, value] of [["width", width], ["height", height]]) image.setAttribute(name, value);
    for (const [name, { group, circles, knob }] of Object.entries(rings)) {
      const radius = model.get(name), angle = (RADII[name].angle * Math.PI) / 180;
      for (const circle of circles) for (const [key, value] of [["cx", x], ["cy", y], ["r", radius]]) circle.setAttribute(key, value);
      for (const [key, value] of [["cx", x + radius * Math.cos(angle)], ["cy", y + radius * Math.sin(angle)], ["r", 5 * unit]]) knob.setAttribute(key, value);
      group.setAttribute("aria-valuenow", radius);
    }
    const ring = (r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
    area.setAttribute("d", ring(model.get("outer_px")) + ring(Math.max(model.get("inner_px"), 0.01)));
    const arm = 9 * unit;
    crossed.setAttribute("d", `M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`);
    for (const [key, value] of [["cx", x], ["cy", y], ["r", 14 * unit]]) grasp.setAttribute(key, value);
    cross.setAttribute("aria-valuetext", `row ${ky.toFixed(1)}, column ${kx.toFixed(1)} px`);
    told.textContent = `centre (ky ${ky.toFixed(1)}, kx ${kx.toFixed(1)}) px · disk to ${model.get("disk_px").toFixed(1)} px · ring from ${model.get("inner_px").toFixed(1)} to ${model.get("outer_px").toFixed(1)} px`;
  }
  function load() {
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("picture")], { type: "image/png" }));
    image.setAttribute("href", address);
  }

  const watched = "change:width change:height change:centre change:disk_px change:inner_px change:outer_px";
  const watcher = new ResizeObserver(drawAll); // also once it has a place on the page
  watcher.observe(svg);
  model.on(watched, drawAll);
  model.on("change:picture", load);
  load();
  return () => {
    URL.revokeObjectURL(address);
    watcher.disconnect();
    model.off(watched, drawAll);
    model.off("change:picture", load);
  };
}

export default { render };
