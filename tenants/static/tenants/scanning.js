// Staff pages: the search box is always ready for the scanner.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const find = document.getElementById("find");

  if (find && find.autofocus) {
    find.focus();
    find.select();
  }

  // A scanner types wherever the focus is: what would go nowhere goes into the box.
  document.addEventListener("keydown", (event) => {
    const active = document.activeElement || document.body;
    const nowhere = active === document.body || (active.tagName === "SUMMARY" && event.key !== " ");
    if (find && nowhere && event.key.length === 1 && !event.ctrlKey && !event.metaKey && !event.altKey) {
      find.focus();
      find.select();
    }
  });
});
