/** Which finished classifier the steps Try and Deploy work with: the one that was chosen, or else the newest. */

import { h } from "./ui.js";

/** The chosen bundle, {name, version}; null if there is none yet. */
export function chosenBundle(app, state) {
  const { bundles } = state;
  return bundles.find(({ name }) => name === app.chosen) || bundles[0] || null;
}

/** A label and a list to choose a bundle from, where there are several. */
export function bundlePicker(app, state, chosen, choose) {
  const S = app.strings.try;
  if (state.bundles.length < 2) return [h("p", { class: "muted" }, chosen.name)];
  const options = state.bundles.map(({ name }) => h("option", { value: name, selected: name === chosen.name }, name));
  const list = h("select", { id: "bundle", onchange: () => choose(list.value) }, ...options);
  return [h("label", { for: "bundle" }, S.bundle), list];
}
