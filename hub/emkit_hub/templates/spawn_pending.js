// The page of a start: its steps as they come, and while the job waits why, in which place and until when.
require(["jhapi"], (JHAPI) => {
  const at = window.emkitStart, api = new JHAPI(window.jhdata.base_url);
  const of = (id) => document.getElementById(id);
  const ASK_EVERY_MS = 5000;
  let answered = 0, asked = null, timer = 0;

  const ago = (seconds) => seconds < 5 ? "just now" : seconds < 90 ? `${Math.round(seconds)} s ago`
    : seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${(seconds / 3600).toFixed(1)} h ago`;
  const clock = (seconds) => new Date(seconds * 1000).toLocaleString([], {
    hour: "2-digit", minute: "2-digit", ...(Math.abs(seconds * 1000 - Date.now()) > 43200000 ? { weekday: "short", day: "numeric", month: "short" } : {}),
  });
  const until = (seconds) => seconds < 60 ? "in less than a minute" : seconds < 5400 ? `in about ${Math.round(seconds / 60)} min` : `in about ${(seconds / 3600).toFixed(1)} h`;

  // The hub's clock and this device's may differ: the hub says when it was asked and what time it has now
  function showQueue(waiting, askedAt, now, profile) {
    of("queue").hidden = of("change").hidden = !waiting;
    of("headline").textContent = waiting ? "Waiting in the queue" : "JupyterLab is starting";
    if (!waiting) return;
    const wait = waiting.expected_at === null ? null : waiting.expected_at - now;
    of("queue-reason").textContent = waiting.reason.charAt(0).toUpperCase() + waiting.reason.slice(1) + ".";
    of("queue-place").textContent = waiting.position === null ? "not in line yet" : waiting.position === 1 ? "next" : `number ${waiting.position}`;
    of("queue-start").textContent = wait === null ? "not known yet" : `${until(wait)}, at ${clock(Date.now() / 1000 + wait)}`;
    of("queue-since").textContent = (askedAt ? ago(now - askedAt) : "just now") + (profile ? `, for “${profile}”` : "");
    [answered, asked] = [Date.now(), now - waiting.asked_at];
    showAge();
  }
  function showAge() {
    if (asked !== null) of("queue-age").textContent = `The scheduler said so ${ago(asked + (Date.now() - answered) / 1000)}. This page keeps asking.`;
  }
  function ask() {
    api.api_request(at.session, {
      dataType: "json",
      success: (told) => showQueue(told.waiting, told.asked_at, told.now, told.profile),
      error: () => showAge(),
    });
  }

  const steps = of("steps"), bar = of("progress-bar"), source = new EventSource(at.progress);
  function end(how) {
    source.close();
    clearInterval(timer);
    steps.classList.add(how);
    of("stop").hidden = of("change").hidden = of("queue").hidden = true;
  }
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.progress !== undefined) bar.style.width = `${event.progress}%`;
    if (event.waiting) {
      if (!timer) timer = setInterval(ask, ASK_EVERY_MS);
      ask();
      return;
    }
    clearInterval(timer);
    [timer, asked] = [0, null];
    showQueue(null);
    const step = document.createElement("li");
    if (event.failed && event.html_message) step.innerHTML = event.html_message; else step.textContent = event.message;
    steps.append(step);
    if (event.ready) { end("done"); window.location.reload(); }
    if (event.failed) {
      end("failed");
      of("headline").textContent = "JupyterLab did not start";
      bar.classList.add("bg-danger");
      of("again").hidden = of("rescue").hidden = false;
    }
  };
  source.onerror = () => showAge();  // the browser tries again by itself

  function request(button, words, method, data, then) {
    const before = button.textContent;
    button.disabled = true;
    button.textContent = words;
    api.api_request(at.server, {
      type: method,
      dataType: null,
      data,
      success: () => { window.location = then; },
      error: (answer) => {
        button.disabled = false;
        button.textContent = before;
        of("trouble").hidden = false;
        of("trouble").textContent = answer.responseJSON?.message ?? "The hub does not answer. Try again in a moment.";
      },
    });
  }
  const form = of("again").href, chosen = new URLSearchParams(at.options).toString();
  of("stop").addEventListener("click", () => request(of("stop"), "Cancelling ...", "DELETE", undefined, at.home));
  of("change").addEventListener("click", () => request(of("change"), "Cancelling ...", "DELETE", undefined, chosen ? `${form}#${chosen}` : form));
  of("rescue").addEventListener("click", () => request(of("rescue"), "Starting ...", "POST", JSON.stringify({ ...at.options, rescue: true }), window.location));
  window._jupyterhub_page_loaded = true;
});
