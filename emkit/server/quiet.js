// The wheel's client keeps an event stream to a Python process open, and a browser grants a page six connections in all.
// emkit moves the viewer's state by other ways, so the client gets a stream that opens and stays silent.
window.EventSource = class {
  constructor() { queueMicrotask(() => this.onopen?.()); }
  close() {}
};
