// Staff pages: times are the reader's own, copy buttons copy. The search box: scanning.js.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) {
      const two = (number) => String(number).padStart(2, "0");
      time.title = time.textContent;
      time.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
    }
  }

  for (const select of document.querySelectorAll("select[data-submits]")) {
    select.addEventListener("change", () => select.form.submit());
  }

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

  // A second click while the first is under way must not do it twice.
  for (const form of document.querySelectorAll("form.once")) {
    form.addEventListener("submit", () => {
      for (const button of form.querySelectorAll("button")) {
        button.disabled = true;
      }
    });
  }
});
