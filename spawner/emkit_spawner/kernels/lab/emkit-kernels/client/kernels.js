// The plugin: takes the server's events on kernels that wait or died, and shows each above the notebooks and consoles it belongs to.
import { Banner } from "./banner.js";

const EVENT = "https://emkit.readthedocs.io/events/kernel-on-a-node/v1";
const OVER = ["running", "gone"]; // nothing to say any more
const AGAIN_MS = 30_000; // an event that was lost with its websocket is found by asking

export const plugin = async (shared) => {
  const lab = {};
  for (const name of ["apputils", "coreutils", "services"]) lab[name] = await shared(`@jupyterlab/${name}`);
  lab.widgets = await shared("@lumino/widgets");
  return {
    id: "emkit-kernels:plugin",
    description: "Says why a kernel on a node waits, when it is expected and why it died, with Cancel and Resubmit.",
    autoStart: true,
    activate: (app) => start(app, lab),
  };
};

function start(app, lab) {
  const { serverSettings, kernels, events } = app.serviceManager;
  const ask = (path = "", init = {}) =>
    lab.services.ServerConnection.makeRequest(lab.coreutils.URLExt.join(serverSettings.baseUrl, "emkit/kernels", path), init, serverSettings);
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("kernels.css", import.meta.url) }));

  const told = new Map(); // kernel's id → the last word on it
  const banners = new Map(); // panel → its banner
  const announced = new Set(); // kernels whose death was told without a panel

  const forget = (id) => {
    told.delete(id);
    ask(id, { method: "DELETE" }).catch(() => null); // a server that does not answer is Lab's own to tell
    draw();
  };
  const actions = {
    cancel: async (notice, context) => {
      await (context?.session ? context.shutdown() : kernels.shutdown(notice.kernel_id));
      told.delete(notice.kernel_id);
      draw();
    },
    resubmit: async (notice, context) => {
      forget(notice.kernel_id);
      await context.shutdown(); // its session went with the kernel, which Lab does not know yet
      await context.changeKernel({ name: notice.kernel_name });
    },
    dismiss: (notice) => forget(notice.kernel_id),
  };

  const panels = () => [...app.shell.widgets("main")].filter((panel) => panel.sessionContext && panel.contentHeader);
  const noticeOf = ({ sessionContext }) => {
    const { session, path } = sessionContext;
    const own = session?.kernel && told.get(session.kernel.id);
    const alive = session?.kernel && !["dead", "unknown"].includes(session.kernel.status);
    return own ?? (alive ? undefined : [...told.values()].find((notice) => notice.document && notice.document === path));
  };
  const draw = () => {
    const shown = new Set();
    for (const panel of panels()) {
      const notice = noticeOf(panel);
      if (notice) shown.add(notice.kernel_id);
      if (notice && !banners.has(panel)) {
        banners.set(panel, new Banner(lab, panel, actions));
        panel.disposed.connect(() => banners.delete(panel));
      }
      banners.get(panel)?.show(notice);
    }
    for (const notice of told.values()) {
      if (notice.state !== "dead" || shown.has(notice.kernel_id) || announced.has(notice.kernel_id)) continue;
      announced.add(notice.kernel_id);
      const where = notice.document ? `${notice.document}: ` : "";
      lab.apputils.Notification.error(`${where}${notice.display_name}: ${notice.text.split("\n")[0]}`, {
        autoClose: false,
        actions: [{ label: "Forget", callback: () => forget(notice.kernel_id) }],
      });
    }
  };
  const take = (notice) => {
    if (OVER.includes(notice.state)) told.delete(notice.kernel_id);
    else told.set(notice.kernel_id, notice);
    draw();
  };
  const refresh = async () => {
    if (document.visibilityState !== "visible") return; // a page that nobody sees must not keep a server from being culled
    const answer = await ask().catch(() => null);
    if (!answer?.ok) return;
    const found = await answer.json();
    told.clear();
    for (const notice of found) told.set(notice.kernel_id, notice);
    draw();
  };

  events.stream.connect((_, event) => { if (event.schema_id === EVENT) take(event); });
  app.shell.layoutModified.connect(draw);
  document.addEventListener("visibilitychange", refresh);
  setInterval(() => { if (told.size) refresh(); }, AGAIN_MS);
  app.restored.then(refresh);
}
