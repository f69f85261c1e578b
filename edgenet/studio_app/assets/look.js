/** The step look. */

import { h } from "./ui.js";

export function mount(root, app) {
  root.append(h("h1", {}, app.strings.look.title));
}
