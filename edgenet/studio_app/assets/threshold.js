/** The threshold for "nothing I know": kept in this browser, and what it costs in words. */

import { say } from "./ui.js";

const KEY = "edgenet-threshold";
const USUAL = 0.3; // as camera.py

/** The threshold that was chosen last, 0 to 1. */
export function keptThreshold() {
  const kept = Number(localStorage.getItem(KEY) || NaN);
  return kept >= 0 && kept < 1 ? kept : USUAL;
}

export function keepThreshold(threshold) {
  localStorage.setItem(KEY, String(threshold));
}

/**
 * How many of the user's photos a threshold hides.
 * @param costs what the run has counted (studio_app/try_routes.py), or null.
 * @param {number} percent the threshold.
 */
export function costText(S, costs, percent) {
  if (!costs) return S.costUnknown;
  const { judged, right, wrong, errors, kept, false_alarms: alarms } = costs;
  const hidden = right[percent] + wrong[percent];
  const values = { percent, judged, hidden, share: ((100 * hidden) / judged).toFixed(0), wrong: wrong[percent], errors };
  const own = kept === null ? "" : say(alarms === null ? S.ownKept : S.own, { kept: kept.toFixed(0), alarms: (alarms || 0).toFixed(0) });
  return [say(S.cost, values), errors ? say(S.costWrong, values) : "", own].filter(Boolean).join(" ");
}
