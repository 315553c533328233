// Staff pages: a scan goes to the search box, wherever the focus is, and never into the data.
"use strict";

(() => {
  // A scanner is a keyboard that types a whole code, then Enter or Tab. What tells it from a person is its speed. Hand
  // scanners take 1 to 20 ms for a character, by radio up to 30, with a stop now and then of some 50 ms. Of people, the
  // fastest type 15 characters a second, one in 66 ms; two or three keys they may hit nearly at once, but not five in a
  // row. So the mean counts, of at least 5 characters: fewer are no barcode. And all by the clock of the events: a page
  // that is busy gets them late, and all at once. A key that is held down, and what is pasted or composed, is no scan.
  const LEAST = 5; // characters
  const MEAN = 35; // ms from one character to the next
  const STOP = 100; // ms: what comes later is something else, but for one longer stop of a scanner
  const KEPT = 8; // searches
  // While a browser changes the pages it passes no keys on. Of a scan that begins when this page does, the beginning may
  // be missing; of one that was under way when the page before went, something is. Neither is looked for.
  const OPENING = 100; // ms
  const CUT = "cut"; // in sessionStorage: one was under way
  const MODIFIERS = ["Shift", "Control", "Alt", "AltGraph"]; // scanners press them between characters

  let burst = null; // what is being typed without a stop, by a scanner or by a person
  let isCut = Boolean(sessionStorage.getItem(CUT));
  sessionStorage.removeItem(CUT);
  const opened = performance.now();
  let isSearching = false; // the next page is on its way
  let question = null; // what to look for, and the field that it was scanned into, if it was a scan

  const box = () => document.getElementById("find");
  const meanOf = ({ text, first, last }) => (last - first) / Math.max(text.length - 1, 1);
  const isScan = (burst) => meanOf(burst) < MEAN && (burst.text.length >= LEAST || isPartial(burst));
  // Fields of forms that only look for something may take a scan: nothing is written there. And a password is no code.
  const isFree = (field) => field && field !== box() && (field.type === "password" || field.form?.method === "get");

  document.addEventListener("keydown", onKey, true);
  document.addEventListener("DOMContentLoaded", onLoad);
  window.addEventListener("pageshow", () => (isSearching = false));
  window.addEventListener("pagehide", () => {
    if (isSearching && burst && meanOf(burst) < STOP && performance.now() - burst.last < 3 * STOP) {
      sessionStorage.setItem(CUT, "yes");
    }
  });

  function isPartial({ first }) {
    const painted = performance.getEntriesByType("paint")[0]?.startTime ?? opened;
    return isCut || first < opened + OPENING || (first > painted && first < painted + OPENING);
  }

  function onKey(event) {
    if (MODIFIERS.includes(event.key)) {
      return;
    }
    const goesOn = burst && !hasMoved(burst.target) && hasGoneOn(event.timeStamp);
    const isCommand = (event.ctrlKey || event.metaKey || event.altKey) && !event.getModifierState("AltGraph");
    if (event.repeat || event.isComposing || isCommand) {
      burst = null;
    } else if (event.key.length === 1) {
      burst = goesOn ? burst : begun(event);
      burst.text += event.key;
      burst.last = event.timeStamp;
      if (goesOn && event.key === " " && !burst.restore) {
        event.preventDefault(); // it would press a button
      }
    } else if (event.key !== "Enter" && event.key !== "Tab") {
      burst = null;
    } else if (goesOn ? isScan(burst) && !isFree(burst.target) : isCut) {
      event.preventDefault();
      event.stopPropagation();
      take(burst);
      burst = null;
    } else {
      burst = null;
    }
  }

  // A scanner may stop once for longer, if its radio is disturbed; that time is not counted.
  function hasGoneOn(at) {
    const gap = at - burst.last;
    if (gap > STOP && gap < 5 * STOP && burst.text.length > 2 && meanOf(burst) < MEAN && !burst.hasStopped) {
      burst.first += gap;
      burst.hasStopped = true;
      return true;
    }
    return gap <= STOP;
  }

  function hasMoved(target) {
    const active = document.activeElement;
    return active !== target && active !== box() && active?.matches("input, textarea, select");
  }

  function begun(event) {
    const [find, active] = [box(), document.activeElement || document.body];
    const isNowhere = !active || active === document.body || (active.tagName === "SUMMARY" && event.key !== " ");
    if (find && (isNowhere || (active === find && isSearching))) {
      find.focus();
      find.select(); // what is in it has been looked for
    }
    const target = isNowhere ? find : active;
    return { text: "", first: event.timeStamp, target, restore: target && restorerOf(target) };
  }

  function restorerOf(field) {
    if (field.tagName === "SELECT") {
      const index = field.selectedIndex; // letters pick from a list
      return () => (field.selectedIndex = index);
    }
    if (field.matches("input:not([type=file]), textarea")) {
      const { value, checked } = field;
      return () => Object.assign(field, { value, checked });
    }
    return null;
  }

  function take(scan) {
    const { text, target, restore } = scan ?? {};
    if (restore && target !== box()) {
      restore();
      target.dispatchEvent(new Event("input", { bubbles: true }));
    }
    if (!scan || isPartial(scan)) {
      sayThatItWasCut();
      return;
    }
    const isText = target !== box() && target?.matches("input[type=text], input:not([type]), textarea");
    const field = document.getElementById("scanned")?.open ? question?.field : isText ? target : null;
    const search = () => {
      question = { text, field };
      box().value = text;
      box().form.requestSubmit();
    };
    if (box()) {
      search();
    } else {
      document.addEventListener("DOMContentLoaded", () => box() && search());
    }
  }

  function sayThatItWasCut() {
    isCut = false;
    box().value = box().defaultValue;
    document.getElementById("cut").className = "notice bad";
    document.getElementById("cut").hidden = false;
  }

  function onLoad() {
    const find = box();
    if (!find) {
      return;
    }
    if (burst && !burst.target) { // it began before there was a box
      find.value = burst.text;
      burst.target = find;
      find.focus();
    } else if ("focus" in find.dataset && !burst) { // autofocus would come now and then after it, and be refused
      find.focus();
      find.select();
    }
    setTimeout(() => isCut && sayThatItWasCut(), 5 * STOP); // nothing came of it here
    offerSearches(find);
    find.form.addEventListener("submit", onSearch);
    const dialog = document.getElementById("scanned");
    dialog.addEventListener("click", (event) => event.target.value && dialog.close(event.target.value));
    dialog.addEventListener("close", onAnswer);
  }

  function onSearch(event) {
    const text = box().value.trim();
    if (text && editing.unsaved()) {
      event.preventDefault();
      ask(question?.text === text ? question : { text, field: null });
    } else {
      remember(text);
      isSearching = true;
    }
  }

  function ask(asked) {
    const dialog = document.getElementById("scanned");
    question = asked;
    dialog.querySelector("[data-code]").textContent = asked.text;
    dialog.querySelector("[value=put]").hidden = !asked.field;
    dialog.returnValue = "";
    if (!dialog.open) {
      dialog.showModal();
    }
  }

  function onAnswer() {
    const { text, field } = question;
    const answer = document.getElementById("scanned").returnValue;
    question = null;
    box().value = answer === "open" ? text : box().defaultValue;
    if (answer === "open") {
      remember(text);
      editing.leave();
      box().form.submit();
    } else if (answer === "put") {
      field.value = text;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
    }
  }

  // What was looked for last, by this person in this browser; editing.js forgets it at logout.
  const searchesOf = (find) => `searches:${find.form.dataset.user}`;
  const searches = () => JSON.parse(localStorage.getItem(searchesOf(box())) || "[]");

  function remember(text) {
    if (text) {
      const kept = [text, ...searches().filter((other) => other !== text)].slice(0, KEPT);
      localStorage.setItem(searchesOf(box()), JSON.stringify(kept));
    }
  }

  function offerSearches(find) {
    find.list.replaceChildren(...searches().map((text) => new Option("", text)));
  }
})();
