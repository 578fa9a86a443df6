// Neuroglancer in an iframe. The page that holds the widget (JupyterLab, Voila) names its server in its page config.

const base = () => {
  const config = document.getElementById("jupyter-config-data");
  const path = config ? JSON.parse(config.textContent).baseUrl : document.body.dataset.baseUrl ?? "/";
  return new URL(path.endsWith("/") ? path : `${path}/`, location.origin).href;
};

const placed = (state, url) => JSON.parse(JSON.stringify(state).replaceAll("{base}", url));
const portable = (state, url) => JSON.parse(JSON.stringify(state, (_, value) => (typeof value === "bigint" ? `${value}` : value)).replaceAll(url, "{base}"));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Resolves with the client's viewer object once its page has made one.
const viewerOf = async (frame, signal) => {
  await new Promise(loaded => frame.addEventListener("load", loaded, { once: true, signal }));
  while (!frame.contentWindow?.viewer?.state) await new Promise(requestAnimationFrame);
  return frame.contentWindow.viewer;
};

function render({ model, el }) {
  const url = base();
  const ended = new AbortController();
  const frame = document.createElement("iframe");
  frame.title = "Neuroglancer viewer";
  frame.allow = "fullscreen";
  frame.style.cssText = `display: block; width: 100%; height: ${model.get("height")}px; border: 1px solid var(--jp-border-color2, #ccc); border-radius: 4px; background: #000`;
  frame.src = `${url}emkit/v/${model.model_id ?? "notebook"}/#!${encodeURIComponent(JSON.stringify(placed(model.get("state"), url)))}`;
  el.replaceChildren(frame);

  viewerOf(frame, ended.signal).then(viewer => {
    if (ended.signal.aborted) return;
    let told = model.get("state"); // what the kernel last knew: a change from there is not sent back
    let timer = 0;
    const tell = () => {
      told = portable(viewer.state.toJSON(), url);
      const at = viewer.navigationState.position.toJSON();
      model.set("state", told);
      if (at) model.set("position", [...at].slice(0, 3).reverse());
      model.save_changes();
    };
    viewer.state.changed.add(() => {
      clearTimeout(timer);
      timer = setTimeout(tell, 150); // one message when a drag pauses, not one per frame
    });
    const showState = () => {
      if (same(model.get("state"), told)) return;
      viewer.state.reset();
      viewer.state.restoreState(placed(model.get("state"), url));
    };
    const showPosition = () => {
      const at = [...model.get("position")].reverse();
      if (!same(at, [...(viewer.navigationState.position.toJSON() ?? [])])) viewer.navigationState.position.restoreState(at);
    };
    const resize = () => { frame.style.height = `${model.get("height")}px`; };
    model.on("change:state", showState);
    model.on("change:position", showPosition);
    model.on("change:height", resize);
    ended.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      model.off("change:state", showState);
      model.off("change:position", showPosition);
      model.off("change:height", resize);
    });
    model.set("ready", true);
    model.save_changes();
  });
  return () => ended.abort();
}

export default { render };
