/** Which finished classifier the steps Try and Deploy work with: the one that was chosen, or else the newest. */

import { h, say } from "./ui.js";

/** The chosen bundle, {name, version}; null if there is none yet. */
export function chosenBundle(app, state) {
  const { bundles } = state;
  return bundles.find(({ name }) => name === app.chosen) || bundles[0] || null;
}

/** A bundle's name for people: that of a run is the time of its beginning, 20261130-041500. */
export function titleOf(S, name) {
  const [, year, month, day, hour, minute] = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d/.exec(name) || [];
  if (!year) return name;
  const when = new Date(year, month - 1, day, hour, minute);
  return say(S.bundleOf, { when: when.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) });
}

/** A label and a list to choose a bundle from, where there are several. */
export function bundlePicker(app, state, chosen, choose) {
  const S = app.strings.try;
  if (state.bundles.length < 2) return [h("p", { class: "muted" }, titleOf(S, chosen.name))];
  const options = state.bundles.map(({ name }) => h("option", { value: name, selected: name === chosen.name }, titleOf(S, name)));
  const list = h("select", { id: "bundle", onchange: () => choose(list.value) }, ...options);
  return [h("label", { for: "bundle" }, S.bundle), list];
}
