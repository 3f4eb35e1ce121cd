// What Label Studio's editor lacks for a reader: keys that take and drop a proposed outline, and words where a
// submit would lose something or does nothing. The editor's state is `window.Htx`.
(() => {
  const TAKE = "Enter", DROP = "Escape";
  const KEYS = "Enter takes the proposed outline, Esc drops it";
  const TYPING = ["TEXTAREA", "INPUT"];
  const SUBMITS = "[data-testid=bottombar-submit-button], [data-testid=bottombar-update-button], " +
    "[data-testid=bottombar-submit-dropdown], [data-testid=bottombar-update-dropdown]";
  let told = "", silent = 0;

  const answer = () => window.Htx?.annotationStore?.selected;
  const proposed = () => (answer()?.suggestions?.size ?? 0) > 0;
  // Points and boxes are nothing but questions to the machine; one that a draft brought back is no longer `dynamic`.
  const prompts = () => (answer()?.regions ?? []).filter(
    (region) => region.dynamic || ["keypointregion", "rectangleregion"].includes(region.type));
  const comment = () => document.querySelector(".mema textarea[placeholder], .mema input[placeholder]");
  const modal = () => document.querySelector(".lsf-modal-ls, .ls-modal, .ant-modal-wrap:not([style*=none])");

  // Why nothing may be submitted now; empty where all is said and done.
  function obstacle() {
    if (!answer()) return "";
    // Without a prompt it is the answer to one that was just dropped, which nobody waits for.
    if (window.Htx.awaitingSuggestions && prompts().length) return "The outline you asked for is still being made. Wait for it, then submit.";
    if (proposed()) return `Not submitted: an outline is proposed and not taken. ${KEYS}; then submit.`;
    if (prompts().length) return "Not submitted: your click or box led to no outline. Esc removes it; then click again, paint, or submit.";
    if (comment()?.value.trim()) return "Not submitted: the comment is not ended. Press Enter in it (or empty it), then submit.";
    if (!answer().results.length) return "Not submitted: nothing is chosen. Choose a disease (keys 1 to 8), or low medical quality (key 0).";
    return "";
  }

  function banner() {
    const found = document.getElementById("mema-banner");
    if (found) return found;
    const made = document.createElement("div");
    made.id = "mema-banner";
    made.setAttribute("role", "status");
    made.style.cssText = "position:fixed; left:50%; bottom:64px; transform:translateX(-50%); z-index:10000; " +
      "max-width:720px; padding:10px 18px; border-radius:8px; font:600 15px/21px sans-serif; color:#fff; display:none";
    return document.body.appendChild(made);
  }

  function show(text, alarming) {
    const line = banner();
    line.textContent = text;
    line.style.background = alarming ? "#b3261e" : "#1f5fbf";
    line.style.display = text ? "block" : "none";
  }

  function tell(text) {
    told = text;
    silent = Date.now() + 8000;
    show(text, true);
  }

  // A standing line while something is proposed; a warning stays until it no longer holds.
  function refresh() {
    if (window.Htx?.autoAcceptSuggestions) window.Htx.setAutoAcceptSuggestions(false);
    if (told && (Date.now() > silent || (told.startsWith("Not submitted") && told !== obstacle()))) told = "";
    if (!told) show(proposed() ? `${KEYS}.` : "", false);
  }

  function stop(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  function refuse(event) {
    const why = obstacle();
    if (!why) return;
    stop(event);
    tell(why);
  }

  window.addEventListener("keydown", (event) => {
    if (!answer() || modal()) return;
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return refuse(event);
    if (!plain || TYPING.includes(event.target.tagName) && event.target.type !== "radio") return;
    if (event.key === TAKE && proposed()) {
      stop(event);
      answer().acceptAllSuggestions();
    } else if (event.key === DROP && (proposed() || prompts().length)) {
      stop(event);
      answer().rejectAllSuggestions();
      for (const region of prompts()) region.deleteRegion();
    }
    refresh();
  }, true);

  window.addEventListener("click", (event) => {
    if (event.target.closest?.(SUBMITS)) refuse(event);
  }, true);

  const ask = window.fetch;
  window.fetch = (...request) => ask(...request).catch((error) => {
    const method = (request[1]?.method ?? request[0]?.method ?? "GET").toUpperCase();
    if (error instanceof TypeError && method !== "GET") {
      tell("The server does not answer. Leave this page open: your answer is still here; submit it again when the server is back.");
    }
    throw error;
  });

  setInterval(refresh, 200);
})();
