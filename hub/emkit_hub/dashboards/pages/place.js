// Tells the guest when the dashboard's kernel has been given back: its widgets would do nothing, without a word.
(() => {
  const config = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const address = `${config.baseUrl}place/${config.kernelId}`;
  const ask = async () => {
    let place;
    try {
      const answer = await fetch(address);
      if (!answer.ok) return;
      place = await answer.json();
    } catch {
      return; // no network now: ask again
    }
    if (place.held) return;
    clearInterval(asking);
    const note = document.getElementById("emkit-ended");
    note.textContent = `This dashboard has ended${place.reason ? `: ${place.reason}` : ""}. `;
    const again = document.createElement("a");
    again.href = window.location.href;
    again.textContent = "Open it again";
    note.append(again);
    note.hidden = false;
    window.scrollTo(0, 0);
  };
  const asking = setInterval(ask, 10000);
  document.addEventListener("visibilitychange", () => document.hidden || ask());
})();
