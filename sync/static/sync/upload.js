// The page of an upload that is being worked on: asks the server to go on until it has come to something else.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("go-on");
  if (!form) {
    return;
  }
  const state = document.getElementById("state");
  const progress = document.getElementById("progress");
  const trouble = document.getElementById("trouble");

  async function step() {
    let answer;
    try {
      answer = await fetch(form.action, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/json" },
      });
    } catch {
      return retry("The server can't be reached.");
    }
    if (answer.status === 409 || answer.status >= 500) {
      return retry("The server is busy or away just now.");
    }
    if (!answer.ok) {
      return say(`It can't go on (${answer.status}). Open the page once more to see why; nothing is lost.`);
    }
    if (!(answer.headers.get("Content-Type") || "").startsWith("application/json")) {
      location.reload(); // logged out
      return;
    }
    const now = await answer.json();
    if (now.stage !== form.dataset.stage) {
      location.reload();
      return;
    }
    trouble.hidden = true;
    state.textContent = now.state.charAt(0).toUpperCase() + now.state.slice(1);
    if (progress.hasAttribute("value")) {
      progress.value = now.done;
    }
    step();
  }

  function retry(said) {
    say(`${said} It is tried again in 10 seconds; nothing is lost.`);
    setTimeout(step, 10000);
  }

  function say(text) {
    trouble.textContent = text;
    trouble.hidden = false;
  }

  form.querySelector(".buttons").hidden = true; // for those without scripts
  step();
});
