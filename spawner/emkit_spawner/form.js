/* The live part of the spawn form: asks the hub what would become of the numbers that stand in it. */
"use strict";
(() => {
  const WAIT_MS = 250, // after the last key
    AGAIN_MS = 20000; // as long as the page is in sight
  const profiles = document.querySelector(".emkit-profiles");
  const form = profiles.closest("form");
  let timer, question;

  const card = () => form.querySelector('input[name="profile"]:checked').closest(".emkit-profile");

  function choose() {
    for (const one of profiles.querySelectorAll(".emkit-profile")) {
      one.querySelector(".emkit-chosen").disabled = one !== card(); // what is out of sight must not be checked
    }
  }

  function tell(state, text, sooner) {
    const outlook = card().querySelector(".emkit-outlook");
    outlook.hidden = false;
    outlook.dataset.state = state;
    delete outlook.dataset.busy;
    outlook.querySelector(".emkit-outlook-text").textContent = text;
    const place = outlook.querySelector(".emkit-sooner");
    place.hidden = !sooner;
    place.replaceChildren();
    if (!sooner) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = sooner.text;
    button.title = "Put these numbers into the form";
    button.addEventListener("click", () => {
      for (const [name, value] of Object.entries(sooner.fields)) card().querySelector(`[data-field="${name}"]`).value = value;
      ask();
    });
    place.append(button);
  }

  function showFree(free) {
    for (const one of profiles.querySelectorAll(".emkit-profile")) {
      const told = free[one.dataset.profile];
      if (!told) continue;
      one.querySelector(".emkit-free-text").textContent = told.text;
      one.querySelector(".emkit-free").dataset.fits = told.fits;
      const bar = one.querySelector("progress");
      bar.max = told.cpus_up || 1;
      bar.value = told.cpus ?? 0;
    }
  }

  async function ask() {
    clearTimeout(timer);
    timer = setTimeout(ask, AGAIN_MS);
    question?.abort();
    if (document.hidden) return;
    const wrong = card().querySelector("input:invalid");
    if (wrong) {
      tell("refused", `${wrong.closest("label").querySelector("span").textContent}: ${wrong.validationMessage}`);
      return;
    }
    const mine = (question = new AbortController());
    const url = new URL(profiles.dataset.outlook, location.href);
    const asked = card();
    url.searchParams.set("profile", asked.dataset.profile);
    for (const input of asked.querySelectorAll("[data-field]")) {
      if (input.value) url.searchParams.set(input.dataset.field, input.value);
    }
    asked.querySelector(".emkit-outlook").dataset.busy = "";
    try {
      const token = form.elements._xsrf?.value ?? window.jhdata?.xsrf_token ?? "";
      const answer = await fetch(url, { headers: { "X-XSRFToken": token }, signal: mine.signal });
      const told = await answer.json();
      if (mine.signal.aborted || asked !== card()) return;
      if (answer.ok) {
        tell(told.state, told.text, told.sooner);
        showFree(told.free);
      } else {
        tell(answer.status === 400 ? "refused" : "unknown", told.message);
      }
    } catch (error) {
      if (error.name !== "AbortError") tell("unknown", "The hub does not answer just now. You can start all the same.");
    }
  }

  function askSoon() {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  }

  for (const radio of form.querySelectorAll('input[name="profile"]')) {
    radio.addEventListener("change", () => {
      choose();
      ask();
    });
  }
  profiles.addEventListener("input", (event) => event.target.type === "number" && askSoon());
  document.addEventListener("visibilitychange", () => document.hidden || ask());
  /* "Change the request" of a start that waited comes back with what was asked for. */
  function fill(asked) {
    const radio = [...form.querySelectorAll('input[name="profile"]')].find((one) => one.value === asked.get("profile"));
    if (radio) radio.checked = true;
    if (asked.has("memory_mb")) asked.set("memory_gb", asked.get("memory_mb") / 1024);
    for (const input of card().querySelectorAll("[data-field]")) input.value = asked.get(input.dataset.field) ?? input.value;
  }

  if (location.hash.includes("=")) fill(new URLSearchParams(location.hash.slice(1)));
  choose(); // a browser that goes back keeps what was chosen
  if (profiles.dataset.outlook) ask();
})();
