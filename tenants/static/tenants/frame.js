// Staff pages: dialogs open from their buttons; menus close by Escape, by a click elsewhere, and by going on elsewhere;
// icons are silent; charts are written in the colour of the page's text, also after a change to dark or light.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
  }
  for (const button of document.querySelectorAll("dialog [data-closes]")) {
    const dialog = button.closest("dialog");
    button.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close()); // beside it
  }

  for (const menu of document.querySelectorAll("details.menu")) {
    const close = (event) => menu.contains(event.target) || (menu.open = false);
    document.addEventListener("click", close);
    document.addEventListener("focusin", close);
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && menu.open) {
        event.stopPropagation(); // what the menu stands in stays open
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
  }

  // Choices stay the browser's own: those of unfold's library would lie below a dialog, out of reach.
  for (const select of document.querySelectorAll("select.unfold-admin-autocomplete")) {
    select.classList.remove("unfold-admin-autocomplete");
  }

  // Drawn by a font from words, which would be read out.
  for (const icon of document.querySelectorAll(".material-symbols-outlined")) {
    icon.setAttribute("aria-hidden", "true");
  }

  Chart.defaults.color = () => getComputedStyle(document.documentElement).getPropertyValue("--faint").trim();
});
