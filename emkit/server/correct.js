// Merge and split by click, where the page shows a layer that is served as its edits make it (emkit/server/corrected.py).
// In a block, since what a script names at its top is named for the whole page.
{
  const CORRECTED = /^(.*\/emkit\/correct\/[^/]+\/)(\d+)(\/\|.*)$/;
  const LOOK_MS = 4000; // how soon the edits of others are seen
  const MOVED_PX = 4; // a press that moved further is no click

  const viewer = () => window.viewer;

  const source = () => {
    for (const { layer } of viewer()?.layerManager?.managedLayers ?? []) {
      for (const one of layer?.dataSources ?? []) {
        const found = CORRECTED.exec(one.spec.url);
        if (found) return { one, url: found[1], edits: Number(found[2]), rest: found[3] };
      }
    }
    return null;
  };

  const bar = document.createElement("div");
  bar.id = "emkit-correct";
  bar.hidden = true;
  bar.innerHTML = `<style>
    #emkit-correct { position: fixed; right: 8px; bottom: 8px; z-index: 1000; display: flex; gap: 6px; align-items: center; max-width: calc(100% - 32px);
      padding: 6px 8px; border-radius: 4px; background: #202020e8; color: #eee; font: 13px sans-serif }
    #emkit-correct[hidden] { display: none }
    #emkit-correct button { font: inherit; color: #eee; background: #444; border: 1px solid #777; border-radius: 3px; padding: 2px 10px; cursor: pointer }
    #emkit-correct button[aria-pressed="true"] { background: #1565c0; border-color: #90caf9 }
    #emkit-correct button:focus-visible { outline: 2px solid #90caf9 }
    body.emkit-correcting .neuroglancer-rendered-data-panel { cursor: crosshair !important }
  </style>
  <button type="button" data-do="merge" aria-pressed="false">Merge</button>
  <button type="button" data-do="split" aria-pressed="false">Split</button>
  <button type="button" data-do="undo">Undo</button>
  <span role="status"></span>`;
  const say = text => { bar.querySelector("[role=status]").textContent = text; };
  const HOW = { merge: "Click two cells that are one.", split: "Click two points of a cell that are to be two." };

  let mode = null;
  let points = [];
  const enter = wanted => {
    mode = wanted;
    points = [];
    for (const button of bar.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", String(button.dataset.do === mode));
    document.body.classList.toggle("emkit-correcting", mode !== null);
  };

  // The layer is asked for again, as all edits make it; what was kept of other layers stays.
  const show = edits => {
    const at = source();
    if (at && at.edits !== edits) at.one.spec = { ...at.one.spec, url: `${at.url}${edits}${at.rest}` };
  };

  const ask = async body => {
    const at = source();
    if (!at) return;
    const given = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    try {
      const answer = await fetch(`${at.url}edits`, given ?? {});
      const told = await answer.json();
      show(told.edits);
      if (told.said) say(told.said);
    } catch (wrong) {
      say(`The server does not answer: ${wrong.message}. Nothing is known to be saved; try again.`);
    }
  };

  // z, y, x in nm of what lies under the mouse; null where nothing does.
  const under = () => {
    const { mouseState, coordinateSpace } = viewer();
    if (!mouseState.updateUnconditionally()) return null;
    const { names, scales } = coordinateSpace.value;
    return ["z", "y", "x"].map(name => mouseState.position[names.indexOf(name)] * scales[names.indexOf(name)] * 1e9);
  };

  const click = async () => {
    const point = under();
    if (point === null) return;
    points.push(point);
    if (points.length === 1) {
      say(`First point at ${point.map(nm => Math.round(nm)).join(", ")} nm (z, y, x). ${mode === "merge" ? "Now the other cell." : "Now the other side."}`);
      return;
    }
    const body = { do: mode, points_nm: points };
    points = [];
    say("…");
    await ask(body);
  };

  bar.addEventListener("click", event => {
    const wanted = event.target.dataset?.do;
    if (wanted === "undo") {
      enter(null);
      ask({ do: "undo" });
    } else if (wanted) {
      enter(mode === wanted ? null : wanted);
      say(mode ? HOW[mode] : "");
    }
  });

  let pressed = null;
  const inPanel = event => event.target instanceof Element && event.target.closest(".neuroglancer-rendered-data-panel");
  window.addEventListener("mousedown", event => {
    pressed = mode && event.button === 0 && inPanel(event) ? [event.clientX, event.clientY] : null;
  }, true);
  window.addEventListener("mouseup", event => {
    if (pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < MOVED_PX) click();
    pressed = null;
  }, true);
  window.addEventListener("keydown", event => {
    if (event.key === "Escape" && mode) { enter(null); say(""); }
  }, true);

  const look = () => {
    bar.hidden = source() === null;
    if (!bar.hidden && !document.hidden) ask(null);
  };
  window.addEventListener("DOMContentLoaded", () => {
    document.body.append(bar);
    const begin = () => (source() ? look() : setTimeout(begin, 200));
    begin();
    setInterval(look, LOOK_MS);
  });
}
