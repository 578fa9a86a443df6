// The other windows of the same server in this browser. Each saves its own documents when one is about to end the session, and waits
// until that one is back; all at once would log in to the new server at the same time, and spoil each other's login.
const PRESENT_MS = 500, DONE_MS = 20_000, LOOK_MS = 100;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Windows {
  // `save` resolves to the paths that could not be saved; `ended` is called when another window has ended the session.
  constructor(server, save, ended) {
    const me = Math.random();
    let waiting = false;
    this.answers = new Map(); // window → what it could not save; null while it saves
    this.channel = new BroadcastChannel(`emkit-session ${server}`);
    this.channel.onmessage = async ({ data }) => {
      if (data.from) this.answers.set(data.from, data.failed);
      if (data.up && waiting) window.location.reload();
      if (data.ends) {
        waiting = true;
        ended();
      }
      if (!data.save) return;
      this.channel.postMessage({ from: me, failed: null });
      this.channel.postMessage({ from: me, failed: await save() });
    };
    this.channel.postMessage({ up: true });
  }

  // What the others could not save. One that does not come to an end counts as unsaved.
  async save() {
    this.answers.clear();
    this.channel.postMessage({ save: true });
    await pause(PRESENT_MS);
    const last = Date.now() + DONE_MS, busy = () => [...this.answers.values()].includes(null);
    while (busy() && Date.now() < last) await pause(LOOK_MS);
    return [...this.answers.values()].flatMap((failed) => failed ?? ["a document in another window"]);
  }

  tellEnd() {
    this.channel.postMessage({ ends: true });
  }
}
