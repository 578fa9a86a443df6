// The item in the status bar: time left, memory and processors against what was asked, each with a small meter.
import { duration, element, ofCpus, ofMemory } from "./words.js";

export class StatusItem {
  constructor({ widgets: { Widget } }, onClick) {
    this.button = element("button", { type: "button", className: "emkit-session-item", onclick: onClick, hidden: true });
    this.widget = new Widget({ node: element("div", { className: "emkit-session" }, this.button) });
    this.widget.id = "emkit-session-status";
    this.shown = "";
  }

  draw(state) {
    const left = state.endsAt === null ? null : (state.endsAt - Date.now()) / 1000;
    const parts = state.rescue ? [{ text: "Rescue session", level: "high" }] : [];
    const spoken = parts.map(({ text }) => text);
    if (left !== null) {
      parts.push({ text: left > 0 ? `${duration(left)} left` : "time is over", level: left <= Math.max(...state.warn_at_s, 0) ? "high" : "" });
      spoken.push(parts.at(-1).text);
    }
    const over = left !== null && left <= 0; // what was measured last is nobody's use any more
    if (state.memory_mb !== null && !over) {
      const part = state.memory_limit_mb ? state.memory_mb / state.memory_limit_mb : null;
      parts.push({ text: ofMemory(state.memory_mb, state.memory_limit_mb), part, level: part >= state.memory_warning ? "high" : "" });
      spoken.push(`memory ${parts.at(-1).text}`);
    }
    if (state.cpus !== null && !over) {
      const part = state.cpus_limit ? state.cpus / state.cpus_limit : null;
      parts.push({ text: ofCpus(state.cpus, state.cpus_limit), part });
      spoken.push(`processors in use ${state.cpus.toFixed(1)}${state.cpus_limit ? ` of ${state.cpus_limit}` : ""}`);
    }
    const label = `This session: ${spoken.join(", ")}. Details`;
    this.button.hidden = parts.length === 0;
    if (label === this.shown) return; // a screen reader hears changes only
    this.shown = label;
    this.button.title = label;
    this.button.setAttribute("aria-label", label);
    this.button.replaceChildren(...parts.map(span));
  }
}

function span({ text, part, level = "" }) {
  const made = element("span", { className: "emkit-session-part" });
  made.dataset.level = level;
  if (typeof part === "number") {
    const full = element("span");
    full.style.width = `${Math.min(100, Math.round(100 * part))}%`;
    made.append(element("span", { className: "emkit-session-meter" }, full));
  }
  made.append(text);
  return made;
}
