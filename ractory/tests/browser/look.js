// Questions to a page that is open: axe.py puts this into every page, beside axe-core.
"use strict";

window.look = {
  // Rows of a list are alike, and of a hundred most of the time would go into the same once more.
  shorten() {
    const more = "#result_list tbody:nth-of-type(n+6), .rows tr:nth-of-type(n+8)";
    document.querySelectorAll(more).forEach((row) => row.remove());
  },

  // What axe-core finds, in dark colours or light, as texts.
  async axe(dark, only) {
    document.documentElement.classList.toggle("dark", dark);
    document.getAnimations().forEach((animation) => animation.finish());
    const { violations } = await axe.run(document, { runOnly: only, resultTypes: ["violations"], preload: false });
    const said = ({ any, all, none }) => [...any, ...all, ...none].map((check) => check.message).join("; ");
    const told = (id, node) => `${id}: ${node.html.slice(0, 120)}: ${said(node)}`;
    return violations.flatMap(({ id, nodes }) => nodes.map((node) => told(id, node)));
  },

  // What axe-core does not ask: whether the page is wider than its window; and of all that the keyboard comes to,
  // whether a ring is around it, and nothing above it.
  measure() {
    const found = [];
    const say = (what, element) => found.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
    const cut = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (cut > 0) {
      say(`${cut} px too wide`, document.body);
    }
    for (const name of ["main", "h1"]) {
      if ([...document.querySelectorAll(name)].filter((one) => one.checkVisibility()).length !== 1) {
        say(`not one ${name}`, document.body);
      }
    }
    const stops = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
    const within = document.querySelector("dialog[open]") || document;
    for (const element of within.querySelectorAll(stops)) {
      if (!element.disabled && element.checkVisibility({ visibilityProperty: true })) {
        document.activeElement.blur();
        element.focus({ focusVisible: true });
        const above = this.above(element);
        if (above) {
          say(`behind ${above.outerHTML.slice(0, 60)}`, element);
        }
        if (!this.hasRing(element)) {
          say("no ring", element);
        }
      }
    }
    document.activeElement.blur();
    scrollTo(0, 0);
    return found;
  },

  above(element) {
    const box = element.getBoundingClientRect();
    const hit = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height, innerHeight) / 2);
    const isOwn = !hit || hit.contains(element) || element.contains(hit) || element.labels?.[0]?.contains(hit);
    return isOwn ? null : hit;
  },

  // Of some fields what draws them has the ring: what they stand in, or what is drawn instead of them.
  hasRing(element) {
    const drawn = [element, element.parentElement, element.closest("form"), element.nextElementSibling];
    return drawn.filter(Boolean).map(getComputedStyle).some(
      ({ outlineStyle, outlineWidth }) => ["solid", "auto"].includes(outlineStyle) && parseFloat(outlineWidth) >= 2,
    );
  },
};
