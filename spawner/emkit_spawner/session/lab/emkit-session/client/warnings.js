// Warnings of time and memory, and the notice of a rescue start. Each once; again only when its reason had gone meanwhile.
import { clock, duration, ofMemory } from "./words.js";

const BACK_BELOW = 0.9; // of the memory warning: so that it does not flicker

export class Warnings {
  constructor({ apputils: { Notification } }, resubmission) {
    Object.assign(this, { Notification, resubmission, warnedAt: Infinity, ofTime: "", ofMemory: "", rescueTold: false });
  }

  look(state) {
    this.time(state);
    this.memory(state);
    if (state.rescue && !this.rescueTold) {
      this.rescueTold = true;
      this.notify(`Rescue session: ${state.rescue}`, state);
    }
  }

  time(state) {
    const left = state.endsAt === null ? Infinity : (state.endsAt - Date.now()) / 1000;
    const due = Math.min(...state.warn_at_s.filter((limit) => left <= limit), Infinity); // the nearest to the end
    if (due === Infinity && this.warnedAt !== Infinity) { // the job was given more time
      this.dismiss("ofTime");
      this.warnedAt = Infinity;
    }
    if (left <= 0 || due >= this.warnedAt) return;
    this.warnedAt = due;
    this.dismiss("ofTime");
    if (due === Math.min(...state.warn_at_s)) this.resubmission.offer(state, `This session ends in ${duration(left)}`);
    else this.ofTime = this.notify(`This session ends in ${duration(left)}, at ${clock(state.endsAt)}.`, state);
  }

  memory(state) {
    const part = state.memory_limit_mb && state.memory_mb !== null ? state.memory_mb / state.memory_limit_mb : 0;
    if (this.ofMemory && part < BACK_BELOW * state.memory_warning) this.dismiss("ofMemory");
    if (this.ofMemory || part < state.memory_warning) return;
    const used = ofMemory(state.memory_mb, state.memory_limit_mb);
    this.ofMemory = this.notify(`Memory is nearly full: ${used}. At the limit the job may be ended: save, and shut down kernels.`, state);
  }

  notify(text, state) {
    const callback = () => this.resubmission.offer(state);
    return this.Notification.warning(text, { autoClose: false, actions: [{ label: "Details", callback }] });
  }

  dismiss(which) {
    if (this[which]) this.Notification.dismiss(this[which]);
    this[which] = "";
  }
}
