/** Elements without HTML texts: whatever a class or a file is called, it is shown as text and never read as HTML. */

/** Makes an element: `h("button", { class: "main", onclick: go }, "Go")`; null and false children are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on") || name === "value" || name === "checked" || name === "disabled" || name === "hidden") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...real(children));
  return element;
}

const real = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

let pressed = null; // the element under a finger or a mouse button that is down
const later = new Map(); // what elements get when it is up

addEventListener("pointerdown", ({ button, target }) => (pressed = button ? null : target), true);
for (const end of ["pointerup", "pointercancel"])
  addEventListener(
    end,
    () => {
      pressed = null;
      setTimeout(() => { // after the click
        for (const [element, children] of later) replace(element, children);
        later.clear();
      });
    },
    true,
  );

/** Gives an element other children; null and false are left out. What is pressed stays until its click has come, and what
 *  has the focus gives it to the one that takes its place: an element may be filled several times a second. */
export function fill(element, ...children) {
  later.delete(element);
  if (element.contains(pressed)) later.set(element, real(children));
  else replace(element, real(children));
}

function replace(element, children) {
  const had = document.activeElement, within = element !== had && element.contains(had);
  element.replaceChildren(...children);
  if (!within) return;
  const same = (one) => one.id === had.id && one.textContent === had.textContent;
  (element.contains(had) ? had : [...element.querySelectorAll(had.localName)].find(same))?.focus({ preventScroll: true });
}

/** Fills the places {name} of a text: `say("{n} photos", { n: 3 })`. */
export const say = (text, values = {}) => text.replace(/\{(\w+)\}/g, (all, name) => (name in values ? String(values[name]) : all));

/** Chooses between a text for one and a text for several: `count(["{n} photo", "{n} photos"], 2)`. */
export const count = (texts, n, values = {}) => say(texts[n === 1 ? 0 : 1], { n: n.toLocaleString("en"), ...values });

/** Calls a function once, `ms` after the first of many calls. */
export function soon(work, ms) {
  let waiting = null;
  return () => {
    if (waiting === null) waiting = setTimeout(() => ((waiting = null), work()), ms);
  };
}

/** Says something to screen readers only. */
export function announce(text) {
  document.getElementById("announce").textContent = text;
}

/** Shows a short message, with a button if `action` is given: { label, run }. */
export function toast(text, action = null, kind = "") {
  const box = document.getElementById("toasts");
  const close = () => one.remove();
  const one = h("div", { class: `toast ${kind}` }, h("p", {}, text));
  if (action) one.append(h("button", { type: "button", onclick: () => (close(), action.run()) }, action.label));
  one.append(h("button", { type: "button", class: "quiet", "aria-label": "Close", onclick: close }, "×"));
  box.append(one);
  while (box.children.length > 3) box.firstChild.remove();
  setTimeout(close, kind === "bad" ? 20000 : 10000);
  return close;
}

/** Shows an error of the server or of the page. */
export const showFault = (error) => toast(error.message || String(error), null, "bad");

/** Asks for a text or for a consent; resolves to the text (or true), or to null if it was cancelled. */
export function ask({ title, text = "", field = null, confirm, cancel, danger = false }) {
  const dialog = document.getElementById("dialog");
  return new Promise((answer) => {
    const input = field && h("input", { type: "text", value: field.value || "", maxlength: 80, required: true, "aria-label": field.label, autocomplete: "off" });
    const done = (value) => {
      dialog.close();
      dialog.replaceChildren();
      answer(value);
    };
    const form = h(
      "form",
      { onsubmit: (event) => (event.preventDefault(), done(input ? input.value.trim() || null : true)) },
      h("h2", { id: "dialog-title" }, title),
      text && h("p", {}, text),
      input,
      h("p", { class: "row end" }, h("button", { type: "button", onclick: () => done(null) }, cancel), h("button", { type: "submit", class: danger ? "danger" : "main" }, confirm)),
    );
    dialog.replaceChildren(form);
    dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.oncancel = (event) => (event.preventDefault(), done(null));
    dialog.showModal();
    if (input) input.select();
  });
}
