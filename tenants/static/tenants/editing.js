// Staff pages: Enter in a field saves nothing, leaving asks, and what was typed outlives a session that ended.
"use strict";

const editing = (() => {
  const SENT = "sent"; // in sessionStorage: the draft of the form that was sent last
  let leaving = false; // the form itself has been sent, or the person has said so
  let forgetting = false;

  // Forms that one types into. Of those that only confirm something, nothing ever differs.
  const forms = () => [...document.querySelectorAll("#content form[method=post]:not(#changelist-form, [data-unguarded])")];

  function isChanged(field) {
    if (!field.name || field.type === "hidden") {
      return false;
    }
    if (field.type === "checkbox" || field.type === "radio") {
      return field.checked !== field.defaultChecked;
    }
    if (field.type === "file") {
      return field.files.length > 0;
    }
    if (field.type === "select-one") {
      const preset = [...field.options].findIndex((option) => option.defaultSelected);
      return field.selectedIndex !== Math.max(preset, 0);
    }
    if (field.type === "select-multiple") {
      return [...field.options].some((option) => option.selected !== option.defaultSelected);
    }
    return "defaultValue" in field && field.value !== field.defaultValue;
  }

  // A page that came back with faults or a question holds what was typed, and nothing of it is stored.
  const isUnsaved = (form) =>
    "unsaved" in form.dataset || form.querySelector(".errornote") !== null || [...form.elements].some(isChanged);
  const unsaved = () => forms().some(isUnsaved);

  function leave() {
    leaving = forgetting = true;
  }

  const user = () => document.querySelector("[data-user]")?.dataset.user;
  const draftOf = (form) => `draft:${user()}:${location.pathname}`;
  const read = (key) => JSON.parse(sessionStorage.getItem(key) || "{}");

  function keepDraft(form, field) {
    if (!field.name || field.type === "hidden" || field.type === "file" || field.type === "password") {
      return;
    }
    const draft = read(draftOf(form));
    draft[field.name] = field.type === "checkbox" || field.type === "radio" ? field.checked : field.value;
    if (!("unsaved" in form.dataset) && !isChanged(field)) {
      delete draft[field.name];
    }
    if (Object.keys(draft).length) {
      sessionStorage.setItem(draftOf(form), JSON.stringify(draft));
    } else {
      sessionStorage.removeItem(draftOf(form));
    }
  }

  function offerDraft(form) {
    const draft = read(draftOf(form));
    const offer = document.getElementById("draft");
    if (!offer || "unsaved" in form.dataset || !Object.keys(draft).length) {
      return;
    }
    offer.hidden = false;
    offer.querySelector("[data-puts-back]").addEventListener("click", () => {
      for (const [name, value] of Object.entries(draft)) {
        const field = form.elements[name];
        if (field && typeof value === "boolean") {
          field.checked = value;
        } else if (field) {
          field.value = value;
        }
      }
      offer.hidden = true;
      form.querySelector("[name]:not([type=hidden])").focus();
    });
    offer.querySelector("[data-forgets]").addEventListener("click", () => {
      sessionStorage.removeItem(draftOf(form));
      offer.hidden = true;
    });
  }

  // A form that was sent is saved once another page than its own or the login's has come of it.
  function dropWhatIsSaved() {
    const sent = sessionStorage.getItem(SENT);
    sessionStorage.removeItem(SENT);
    const path = sent && sent.slice(sent.lastIndexOf(":") + 1);
    const comesFromIt = document.referrer && new URL(document.referrer).pathname === path;
    if (sent && comesFromIt && location.pathname !== path && !document.getElementById("login-form")) {
      sessionStorage.removeItem(sent);
    }
  }

  function forgetUser() {
    localStorage.removeItem(`searches:${user()}`);
    Object.keys(sessionStorage).filter((key) => key.startsWith("draft:")).forEach((key) => sessionStorage.removeItem(key));
  }

  document.addEventListener("DOMContentLoaded", () => {
    dropWhatIsSaved();
    for (const form of forms()) {
      form.addEventListener("keydown", (event) => {
        const isButton = /^(submit|button|reset|image|file)$/.test(event.target.type);
        if (event.key === "Enter" && event.target.tagName === "INPUT" && !isButton) {
          event.preventDefault();
        }
      });
      form.addEventListener("input", () => (leaving = forgetting = false));
      form.addEventListener("submit", (event) => (leaving = !event.defaultPrevented));
    }
    for (const form of document.querySelectorAll("form[data-draft]")) {
      offerDraft(form);
      form.addEventListener("input", (event) => keepDraft(form, event.target));
      form.addEventListener("submit", () => sessionStorage.setItem(SENT, draftOf(form)));
      form.querySelectorAll("a[data-forgets]").forEach((link) => link.addEventListener("click", () => (forgetting = true)));
      window.addEventListener("pagehide", () => forgetting && sessionStorage.removeItem(draftOf(form)));
    }
    document.getElementById("logout-form")?.addEventListener("submit", forgetUser);
  });

  // Unfold hides its pages until they are set up: browsers have given up on autofocus by then.
  window.addEventListener("load", () => {
    if (document.activeElement === document.body) {
      document.querySelector("#content [autofocus]")?.focus();
    }
  });

  window.addEventListener("beforeunload", (event) => {
    if (!leaving && unsaved()) {
      event.preventDefault();
    }
  });

  return { unsaved, leave };
})();
