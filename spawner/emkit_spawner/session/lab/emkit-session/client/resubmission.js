// "Save all and resubmit": every open document is saved, then the hub ends this job and starts a new one with the same options.
import { Windows } from "./windows.js";
import { clock, duration, element, ofCpus, ofMemory } from "./words.js";

const AREAS = ["main", "left", "right", "down"];

export class Resubmission {
  constructor(app, documents, lab, ask) {
    Object.assign(this, { app, documents, lab, ask, leaving: false, dialog: null });
    this.windows = new Windows(app.serviceManager.serverSettings.baseUrl, () => this.saveOwn(), () => this.wait());
  }

  // The dialog of the status bar and of the last warning.
  async offer(state, title = "This session") {
    const { Dialog } = this.lab.apputils;
    this.dialog?.dispose();
    const dialog = new Dialog({
      title,
      body: new this.lab.widgets.Widget({ node: facts(state) }),
      buttons: [
        Dialog.cancelButton({ label: "Not now" }),
        Dialog.createButton({ label: "Save all", actions: ["save"] }),
        Dialog.warnButton({ label: "Save all and resubmit", actions: ["save", "resubmit"] }),
      ],
      defaultButton: 0, // a person who is typing just now must not end the job by the next Enter
    });
    this.dialog = dialog;
    const { button } = await dialog.launch();
    if (this.dialog === dialog) this.dialog = null;
    if (button.actions.includes("resubmit")) return this.resubmit();
    if (button.actions.includes("save")) return this.saved();
    return undefined;
  }

  // Saves what is open, in all windows; says what cannot be saved. Whether all is saved.
  async saved(otherwise = "") {
    const failed = [...(await this.saveOwn()), ...(await this.windows.save())];
    if (failed.length === 0) return true;
    this.lab.apputils.Notification.error(`${otherwise}Not saved: ${failed.join(", ")}`, { autoClose: false });
    return false;
  }

  async saveOwn() {
    const failed = [];
    for (const context of this.open()) {
      if (!context.model.dirty) continue;
      if (context.canSave) await context.save().catch(() => null); // Lab itself says why; what counts is what is still unsaved
      if (context.model.dirty) failed.push(context.localPath);
    }
    return failed;
  }

  open() {
    const contexts = AREAS.flatMap((area) => [...this.app.shell.widgets(area)].map((widget) => this.documents.contextForWidget(widget)));
    return new Set(contexts.filter(Boolean));
  }

  async resubmit() {
    const { Notification } = this.lab.apputils;
    if (!(await this.saved("The session goes on, nothing was stopped. "))) return;
    const waiting = Notification.emit("Saved. Asking the hub for a new job …", "in-progress", { autoClose: false });
    const answer = await this.ask("resubmit", { method: "POST", body: "{}" }).catch(() => null);
    const told = await answer?.json().catch(() => null);
    Notification.dismiss(waiting); // Lab loses an update of one that it is just about to show
    if (answer?.ok) {
      this.windows.tellEnd();
      return this.leave(told.pending);
    }
    // without an answer nobody knows whether the hub has begun; with one it has not
    const why = told?.message ?? "This session's server does not answer";
    Notification.error(`The session was not resubmitted. ${why}`, { autoClose: false });
  }

  wait() {
    this.leaving = true;
    const told = "The session starts anew from another window. This page comes back when it is up.";
    this.lab.apputils.Notification.emit(told, "in-progress", { autoClose: false });
  }

  // To the hub's page of the start, which comes back to the same place in Lab: same workspace, same document.
  leave(pending) {
    this.leaving = true;
    const here = new URL(window.location.href);
    ["reset", "token"].forEach((name) => here.searchParams.delete(name));
    window.location.assign(`${pending}?next=${encodeURIComponent(here.pathname + here.search)}`);
  }
}

function facts(state) {
  const rows = [];
  if (state.job) rows.push(["Job", state.profile ? `${state.job} (${state.profile})` : state.job]);
  if (state.endsAt !== null) rows.push(["Ends", `at ${clock(state.endsAt)}, in ${duration((state.endsAt - Date.now()) / 1000)}`]);
  if (state.memory_mb !== null) rows.push(["Memory", ofMemory(state.memory_mb, state.memory_limit_mb)]);
  if (state.cpus !== null) rows.push(["Processors in use", ofCpus(state.cpus, state.cpus_limit)]);
  if (state.rescue) rows.push(["Rescue", state.rescue]);
  if (state.hub_silence) rows.push(["Hub", state.hub_silence]);
  return element(
    "div", { className: "emkit-session-dialog" },
    element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)])),
    element("p", {}, "“Save all and resubmit” saves every open document, ends this job and starts a new one with the same options. It may have to wait in the queue; this page then opens again as it is now."),
    element("p", {}, "Variables in the memory of kernels and programs in terminals end with the job: write what you need to files first."),
  );
}
