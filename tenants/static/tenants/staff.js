// Staff pages: times are the reader's own, copy buttons copy. The search box: scanning.js; forms: editing.js.
"use strict";

const two = (number) => String(number).padStart(2, "0");
const dayOf = (at) => `${String(at.getFullYear()).padStart(4, "0")}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
const timeOf = (at) => `${two(at.getHours())}:${two(at.getMinutes())}`;

// An input for a moment has no zone: the server gives and takes UTC, the person sees and types what the clock says.
function showInZone(input) {
  const sent = input.value;
  const at = new Date(`${sent}Z`);
  if (!Number.isNaN(at.valueOf())) {
    const seconds = at.getSeconds() ? `:${two(at.getSeconds())}` : "";
    input.defaultValue = `${dayOf(at)}T${timeOf(at)}${seconds}`;
  }
  const shown = input.value;
  input.form.addEventListener("formdata", (event) => {
    // What was not touched goes back as it came: in the hour that comes twice in autumn, it could mean another moment.
    const typed = new Date(input.value);
    const text = Number.isNaN(typed.valueOf()) ? input.value : typed.toISOString().slice(0, 19);
    event.formData.set(input.name, input.value === shown ? sent : text);
  });
}

function showTimes() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const times = document.querySelectorAll("time[datetime]");
  for (const time of times) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      time.title = time.textContent;
      time.textContent = `${dayOf(at)} ${timeOf(at)}`;
    }
  }
  document.querySelectorAll("input[type=datetime-local]").forEach(showInZone);
  for (const name of document.querySelectorAll("[data-zone]")) {
    name.textContent = zone;
  }
  const content = document.getElementById("content");
  if (times.length && content) {
    const said = document.createElement("p");
    said.className = "zone";
    said.textContent = `Times are those of ${zone}.`;
    content.append(said);
  }
}

// Not at once: with a scan that went into the list it would be another company's page before the code is at its end.
function submitOnChange(select) {
  const picked = select.value;
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => select.value === picked || select.form.submit(), 300);
  };
  select.addEventListener("change", later);
  select.addEventListener("keydown", () => timer && later());
}

document.addEventListener("DOMContentLoaded", () => {
  showTimes();
  document.querySelectorAll("select[data-submits]").forEach(submitOnChange);

  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", async () => {
      const field = document.getElementById(button.dataset.copies);
      field.select();
      try {
        await navigator.clipboard.writeText(field.value);
      } catch {
        document.execCommand("copy"); // without TLS browsers have no other way
      }
      button.textContent = "Copied";
    });
  }

  // A second click while the first is under way must not do it twice. A button that is off is not sent: off it goes
  // when the form is on its way.
  for (const form of document.querySelectorAll("form.once")) {
    const turn = (off) => form.querySelectorAll("button").forEach((button) => (button.disabled = off));
    form.addEventListener("submit", (event) => event.defaultPrevented || setTimeout(turn, 0, true));
    window.addEventListener("pageshow", (event) => event.persisted && turn(false)); // come back by the browser's button
  }
});
