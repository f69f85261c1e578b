/** The shell: the five steps, the state that they share, and what happens when the server is away. */

import { get, post, upload, picture, ServerEvents } from "./api.js";
import { S } from "./strings.js";
import { announce, ask, h, showFault, soon, toast } from "./ui.js";

const STEPS = ["collect", "teach", "look", "try", "deploy"];
const at = (id) => document.getElementById(id);
const modules = {};
let here = null, leave = null;

/** What every step gets: see `mount(root, app)` in each step's module. */
const app = {
  api: { get, post, upload, picture },
  events: new ServerEvents(),
  state: null,
  strings: S,
  toast, ask, announce, showFault,
  /** Goes to a step, such as `go("look")`; `chosen` is for the step: `app.chosen`. */
  go(step, chosen = null) {
    app.chosen = chosen;
    if (location.hash === `#${step}`) show();
    else location.hash = step;
  },
  chosen: null,
  /** Calls `told(state)` now and whenever the state changes; returns a function that ends it. */
  onState(told) {
    listeners.add(told);
    if (app.state) told(app.state);
    return () => listeners.delete(told);
  },
  /** Asks the server for the state, and tells every listener. */
  async refresh() {
    app.state = await get("/api/state");
    for (const told of [...listeners]) told(app.state);
    return app.state;
  },
};
const listeners = new Set();

function showSteps() {
  const links = STEPS.map((step, place) =>
    h("a", { href: `#${step}`, "aria-current": step === here ? "step" : null, "data-step": step, onclick: () => void (step === here && show()) }, h("span", { class: "number", "aria-hidden": "true" }, place + 1), h("span", {}, S.shell.steps[step])),
  );
  at("steps").setAttribute("aria-label", S.shell.stepsLabel);
  at("steps").replaceChildren(...links);
}

async function show() {
  const step = STEPS.includes(location.hash.slice(1)) ? location.hash.slice(1) : STEPS[0];
  const before = here;
  here = step;
  showSteps();
  if (leave) leave();
  leave = null;
  const root = h("div", { class: `step ${step}` });
  at("main").replaceChildren(root);
  document.title = `${S.shell.steps[step]} · edgenet studio`;
  try {
    modules[step] ??= await import(`./${step}.js`);
    if (here !== step) return;
    leave = modules[step].mount(root, app) || null;
    if (before && before !== step) at("main").focus({ preventScroll: true });
    document.documentElement.dataset.step = step;
  } catch (error) {
    showFault(error);
  }
}

at("skip").textContent = S.shell.skip;
const refresh = soon(() => app.refresh().catch(() => {}), 700);
app.events.on("folder", refresh);
app.events.on("job", (job) => {
  if (!app.state) return;
  app.state.jobs = { ...app.state.jobs, [job.kind]: job };
  if (job.ended !== null) refresh();
  for (const told of [...listeners]) told(app.state);
});
/** Says above every step why nothing can be done now; "" if it can. */
function showTrouble(text) {
  if (at("trouble").textContent !== text) at("trouble").textContent = text; // a screen reader reads changes only
  at("trouble").hidden = !text;
}
let again = 0;
app.onState((state) => {
  showTrouble(state.trouble);
  if (!state.trouble || again) return;
  // A folder that was away for a second may be back before the server looks at it again, which then tells nothing.
  again = setTimeout(() => {
    again = 0;
    refresh();
  }, 2000);
});
app.events.on("gone", () => showTrouble(`${S.shell.gone}. ${S.shell.goneRemedy}`));
app.events.on("open", () => {
  showTrouble(app.state?.trouble || "");
  if (app.state) refresh();
});
window.addEventListener("hashchange", show);
showSteps();
try {
  await app.refresh();
} catch (error) {
  showFault(error);
}
await show();
navigator.serviceWorker?.register("sw.js").catch(() => {}); // without it, only an installed studio says less
