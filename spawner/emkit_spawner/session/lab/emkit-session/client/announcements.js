// What the hub's administrators announce, as notifications. One that was dismissed stays away in this browser.
const DISMISSED = "emkit-session:dismissed-announcements", KEPT = 100, LONGEST = 140; // characters that a notification shows
const TYPES = { info: "info", warning: "warning", outage: "error" };

const dismissed = () => JSON.parse(window.localStorage.getItem(DISMISSED) ?? "[]");

export class Announcements {
  constructor({ apputils }) {
    Object.assign(this, { apputils, shown: new Map() }); // announcement → notification
    apputils.Notification.manager.changed.connect((_, { type, notification }) => {
      const id = notification.options.data?.announcement;
      if (type !== "removed" || id === undefined || !this.shown.delete(id)) return;
      window.localStorage.setItem(DISMISSED, JSON.stringify([...dismissed(), id].slice(-KEPT)));
    });
  }

  show(announcements) {
    const { Notification } = this.apputils, away = new Set(dismissed());
    for (const [id, notification] of [...this.shown]) {
      if (announcements.some((one) => one.id === id)) continue;
      this.shown.delete(id); // first: the administrators have taken it back, nobody has dismissed it
      Notification.dismiss(notification);
    }
    for (const one of announcements) {
      if (!this.shown.has(one.id) && !away.has(one.id)) this.shown.set(one.id, this.notify(one));
    }
  }

  notify({ id, text, level }) {
    const { Notification, showDialog, Dialog } = this.apputils;
    const actions = [{ label: "Got it", callback: () => Notification.dismiss(this.shown.get(id)) }];
    if (text.length > LONGEST) {
      const whole = (event) => { event.preventDefault(); showDialog({ title: "Announcement", body: text, buttons: [Dialog.okButton()] }); };
      actions.unshift({ label: "Read all", callback: whole });
    }
    return Notification.emit(text, TYPES[level] ?? "info", { autoClose: false, actions, data: { announcement: id } });
  }
}
