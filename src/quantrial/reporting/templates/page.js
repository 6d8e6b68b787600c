"use strict";
// What the whole page shares: explanations that open on hover, tap and focus; links into folded parts.

/** Make an element; `given` holds its properties, `children` are nodes or texts. */
function make(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Place an explanation under what it explains, inside the window. */
function placeBy(pop, anchor) {
  const box = anchor.getBoundingClientRect();
  const below = box.bottom + 8 + pop.offsetHeight < innerHeight;
  pop.style.margin = "0";
  pop.style.left = `${Math.max(8, Math.min(box.left, innerWidth - pop.offsetWidth - 8))}px`;
  pop.style.top = `${below ? box.bottom + 8 : Math.max(8, box.top - pop.offsetHeight - 8)}px`;
}

function explainTerms() {
  for (const term of document.querySelectorAll(".term")) {
    const pop = document.getElementById(term.getAttribute("popovertarget"));
    if (!pop) continue;
    let timer = 0;
    const show = () => {
      if (!pop.matches(":popover-open")) pop.showPopover({ source: term });
      placeBy(pop, term);
    };
    const hide = () => pop.matches(":popover-open") && pop.hidePopover();
    term.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") timer = setTimeout(show, 120);
    });
    term.addEventListener("pointerleave", (event) => {
      clearTimeout(timer);
      if (event.pointerType === "mouse") hide();
    });
    term.addEventListener("click", (event) => {
      // a click shows it for good, and shows it again where hovering did already
      event.preventDefault();
      clearTimeout(timer);
      show();
    });
  }
}

/** Hints that browsers show on hover alone are shown on tap and focus as well. */
function explainHints() {
  const pop = make("div", { className: "pop", popover: "auto", role: "note" });
  document.body.append(pop);
  const show = (of) => {
    pop.textContent = of.title;
    if (!pop.matches(":popover-open")) pop.showPopover();
    placeBy(pop, of);
  };
  for (const hint of document.querySelectorAll("abbr[title]")) {
    hint.tabIndex = 0;
    hint.addEventListener("click", () => show(hint));
    hint.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      show(hint);
    });
  }
}

/** Marks of the plots say what they are when a pointer comes near. */
function explainMarks() {
  const tip = make("div", { className: "pop tip", popover: "manual", ariaHidden: "true" });
  document.body.append(tip);
  const hide = () => tip.matches(":popover-open") && tip.hidePopover();
  for (const drawing of document.querySelectorAll(".drawing")) {
    drawing.addEventListener("pointermove", (event) => {
      const mark = event.target.closest('[role="graphics-symbol"][aria-label]');
      if (!mark) return hide();
      const said = mark.getAttribute("aria-label");
      tip.textContent = said;
      if (!tip.matches(":popover-open")) tip.showPopover();
      placeBy(tip, mark);
    });
    drawing.addEventListener("pointerleave", hide);
  }
}

/** Open whatever folds away the target of the address. */
function openTarget() {
  let id = location.hash.slice(1);
  try {
    id = decodeURIComponent(id);
  } catch {
    // an address typed by hand: taken as it stands
  }
  const target = id && document.getElementById(id);
  if (!target) return;
  let folded = false;
  for (let at = target.closest("details"); at; at = at.parentElement.closest("details")) {
    folded ||= !at.open;
    at.open = true;
  }
  if (folded) target.scrollIntoView({ block: "center" });
}

function followSections() {
  const links = new Map();
  for (const link of document.querySelectorAll(".contents a, .top nav a")) {
    const section = document.getElementById(link.hash.slice(1));
    if (section) links.set(section, link);
  }
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) links.get(target).setAttribute("aria-current", "true");
        else links.get(target).removeAttribute("aria-current");
      }
    },
    { rootMargin: "-30% 0px -60% 0px" },
  );
  for (const section of links.keys()) if (section.id !== "main") seen.observe(section);
}

explainTerms();
explainHints();
explainMarks();
openTarget();
followSections();
addEventListener("hashchange", openTarget);
