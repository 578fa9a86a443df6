// What the hub's administrators announce, as notifications. One that was dismissed stays away in this browser.
const DISMISSED = "emkit-session:dismissed-announcements", KEPT = 100, LONGEST = 140; // characters that a notification shows
const TYPES = { info: "info", warning: "warning", error: "error", danger: "error" };

const dismissed = () => JSON.parse(window.localStorage.getItem(DISMISSED) ?? "[]");

export function followAnnouncements({ apputils, coreutils: { PageConfig } }, everyS) {
  const prefix = PageConfig.getOption("hubPrefix"); // "/hub/", or the site's own base before it
  if (!prefix) return;
  const url = `${PageConfig.getOption("hubHost")}${prefix.replace(/hub\/$/, "")}services/overview/api/announcements`;
  const shown = new Map(); // announcement → notification
  const { Notification, showDialog, Dialog } = apputils;

  Notification.manager.changed.connect((_, { type, notification }) => {
    const id = notification.options.data?.announcement;
    if (type !== "removed" || id === undefined || !shown.delete(id)) return;
    window.localStorage.setItem(DISMISSED, JSON.stringify([...dismissed(), id].slice(-KEPT)));
  });

  const look = async () => {
    // a hub without this service, or one that is restarting: nothing to announce
    const answer = await fetch(url, { headers: { Accept: "application/json" } }).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null;
    if (!Array.isArray(told)) return;
    for (const [id, notification] of [...shown]) {
      if (told.some((one) => one.id === id)) continue;
      shown.delete(id); // taken back by the administrators, not dismissed by the user
      Notification.dismiss(notification);
    }
    const away = new Set(dismissed());
    for (const { id, text, level } of told) {
      if (shown.has(id) || away.has(id)) continue;
      const actions = [{ label: "Got it", callback: () => Notification.dismiss(shown.get(id)) }];
      if (text.length > LONGEST) {
        const whole = (event) => { event.preventDefault(); showDialog({ title: "Announcement", body: text, buttons: [Dialog.okButton()] }); };
        actions.unshift({ label: "Read all", callback: whole });
      }
      const type = TYPES[level] ?? "info";
      shown.set(id, Notification.emit(text, type, { autoClose: false, actions, data: { announcement: id } }));
    }
  };
  const turn = async () => {
    if (document.visibilityState === "visible") await look();
    setTimeout(turn, everyS * 1000);
  };
  turn();
}
