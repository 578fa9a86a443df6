// Renews the sections of the page while somebody looks at it. What is being typed, opened or focused stays.
(() => {
  const live = document.getElementById("live"), unreachable = document.getElementById("unreachable");
  const tick = 1000 * Number(live.dataset.tickS);
  let silentSince = null, shownAt = Date.now(), ageThen = ageOf(document);

  function ageOf(page) {
    return Number(page.getElementById("age-s")?.dataset.ageS ?? 0);
  }

  function show(text) {
    const told = new DOMParser().parseFromString(text, "text/html");
    for (const part of told.querySelectorAll("section[id]")) {
      const old = document.getElementById(part.id);
      if (!old || old.innerHTML === part.innerHTML || old.querySelector("input:focus")) continue;
      const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
      const rolled = old.querySelector(".tall")?.scrollTop ?? 0;
      old.replaceChildren(...part.childNodes);
      if (focused) document.getElementById(focused)?.focus();
      old.querySelector(".tall")?.scrollTo(0, rolled);
    }
    shownAt = Date.now();
    ageThen = ageOf(told);
  }

  async function renew() {
    if (document.hidden) return;
    try {
      const answer = await fetch(`${live.dataset.base}live`, { headers: { "X-XSRFToken": live.dataset.xsrf }, redirect: "error" });
      if (answer.status === 403) return window.location.reload(); // the login has ended, or the service began anew
      if (!answer.ok) throw new Error(answer.statusText);
      show(await answer.text());
      silentSince = null;
    } catch {
      silentSince ??= Date.now();
    }
    unreachable.hidden = silentSince === null;
    if (silentSince !== null)
      unreachable.textContent = `The hub does not answer since ${new Date(silentSince).toLocaleTimeString()}: what you see is older. Servers that run go on. Trying again …`;
  }

  async function forever() {
    await renew();
    setTimeout(forever, tick);
  }

  setTimeout(forever, tick);
  document.addEventListener("visibilitychange", renew);
  setInterval(() => {
    const age = document.getElementById("age-s"), seconds = Math.round(ageThen + (Date.now() - shownAt) / 1000);
    if (age) age.textContent = seconds < 120 ? `${seconds}\u00a0s` : `${Math.floor(seconds / 60)}\u00a0min`;
  }, 1000);
})();
