// One line above a notebook or console: what its kernel waits for or died of, and what can be done.

const clock = (seconds) => {
  const moment = new Date(seconds * 1000), time = { hour: "2-digit", minute: "2-digit" };
  const today = moment.toDateString() === new Date().toDateString();
  return moment.toLocaleString([], today ? time : { weekday: "short", day: "numeric", month: "short", ...time });
};

const ago = (seconds) => {
  const age = Math.max(0, Math.round(Date.now() / 1000 - seconds));
  return age < 120 ? `${age} s ago` : `${Math.round(age / 60)} min ago`;
};

// Texts become text nodes, so nothing that a scheduler or a user wrote is ever markup.
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const TITLES = { queued: "Waiting for a node", starting: "Starting", unknown: "Waiting for the scheduler", dead: "The kernel is dead" };
const HINT = "Cells that you run now wait too. You may close this page: the kernel keeps its place.";

export class Banner {
  constructor(lab, panel, actions) {
    this.panel = panel;
    this.actions = actions;
    this.line = element("div", { className: "emkit-kernel", role: "status" });
    this.widget = new lab.widgets.Widget();
    this.widget.node.append(this.line);
    panel.contentHeader.addWidget(this.widget);
    // Lumino lays the header out by the least heights of what is in it, and asks for them only when told
    new ResizeObserver(() => {
      this.widget.node.style.minHeight = `${this.line.offsetHeight}px`;
      panel.contentHeader.fit();
    }).observe(this.line);
  }

  show(notice) {
    this.widget.setHidden(!notice);
    const drawn = JSON.stringify(notice ?? null);
    if (!notice || drawn === this.drawn) return;
    this.drawn = drawn;
    this.line.dataset.state = notice.state;
    const [first, ...log] = notice.text.split("\n");
    const words = element("div", { className: "emkit-kernel-words" },
      element("strong", { textContent: TITLES[notice.state] ?? notice.state }), " ",
      element("span", { className: "emkit-kernel-name", textContent: notice.display_name }),
      element("div", { textContent: log.length ? first.replace(" Its log ends with:", "") : first }));
    if (notice.expected_at) {
      const expected = `Expected to start at ${clock(notice.expected_at)}, as the scheduler said ${ago(notice.asked_at)}.`;
      words.append(element("div", { textContent: expected }));
    }
    if (notice.state === "queued") words.append(element("div", { className: "emkit-kernel-hint", textContent: HINT }));
    if (log.length) {
      const lines = element("pre", { textContent: log.join("\n") });
      words.append(element("details", { open: log.length < 8 }, element("summary", { textContent: "End of the job's log" }), lines));
    }
    const buttons = notice.state === "dead" ? [["Dismiss", "dismiss"], ["Resubmit", "resubmit"]] : [["Cancel", "cancel"]];
    this.line.replaceChildren(words, ...buttons.map(([label, action]) => this.button(label, action, notice)));
  }

  button(label, action, notice) {
    const made = element("button", { type: "button", className: `jp-mod-styled ${action === "resubmit" ? "jp-mod-accept" : "jp-mod-reject"}`, textContent: label });
    made.addEventListener("click", async () => {
      made.disabled = true;
      try {
        await this.actions[action](notice, this.panel.sessionContext);
      } finally {
        made.disabled = false;
      }
    });
    return made;
  }
}
