// The page of labels: its button opens the browser's print dialog.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("print");
  if (button) {
    button.addEventListener("click", () => window.print());
  }
});
