// The plugin: asks the server's own extension for the state of the session while the page is in sight, and hands it to the parts.
import { Announcements } from "./announcements.js";
import { Resubmission } from "./resubmission.js";
import { StatusItem } from "./status.js";
import { Warnings } from "./warnings.js";

const TICK_MS = 1_000, AGAIN_S = 10; // until the server has said how often

export const plugin = async (shared) => {
  const names = { apputils: "apputils", coreutils: "coreutils", services: "services", statusbar: "statusbar", docmanager: "docmanager" };
  const lab = {};
  for (const [key, name] of Object.entries(names)) lab[key] = await shared(`@jupyterlab/${name}`);
  lab.widgets = await shared("@lumino/widgets");
  const tokens = [lab.docmanager.IDocumentManager, lab.statusbar?.IStatusBar].filter(Boolean);
  return {
    id: "emkit-session:plugin",
    description: "Shows time left, memory and processors of this session's job, warns, saves and resubmits.",
    autoStart: true,
    requires: tokens.slice(0, 1),
    optional: tokens.slice(1), // Notebook 7 has no status bar
    activate: (app, documents, statusBar) => start(app, documents, statusBar, lab),
  };
};

function start(app, documents, statusBar, lab) {
  const { serverSettings } = app.serviceManager;
  const ask = async (path, init = {}) => {
    const url = lab.coreutils.URLExt.join(serverSettings.baseUrl, "emkit/session", path);
    return lab.services.ServerConnection.makeRequest(url, init, serverSettings);
  };
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("session.css", import.meta.url) }));

  const resubmission = new Resubmission(app, documents, lab, ask);
  const item = new StatusItem(lab, () => resubmission.offer(state));
  const warnings = new Warnings(lab, resubmission);
  const announcements = new Announcements(lab);
  let state = null, timer = 0;

  const show = () => { item.draw(state); warnings.look(state); };
  const poll = async () => {
    if (!resubmission.leaving && document.visibilityState === "visible") {
      // a server that does not answer is Lab's own to tell; the countdown goes on
      const answer = await ask("").catch(() => null);
      if (answer?.ok) {
        const told = await answer.json();
        state = { ...told, endsAt: told.left_s === null ? null : Date.now() + told.left_s * 1000 };
        show();
        announcements.show(state.announcements);
      }
    }
    clearTimeout(timer); // of another question that was asked meanwhile
    timer = setTimeout(poll, 1000 * (state?.page_s ?? AGAIN_S));
  };
  // A hidden page asks nothing, so that it keeps no idle server from being culled; its countdown and warnings need no question.
  document.addEventListener("visibilitychange", poll);
  setInterval(() => { if (state && !resubmission.leaving) show(); }, TICK_MS);

  if (statusBar) statusBar.registerStatusItem("emkit-session:status", { item: item.widget, align: "left", rank: 3 });
  else app.shell.add(item.widget, "top", { rank: 900 });
  app.restored.then(poll);
}
