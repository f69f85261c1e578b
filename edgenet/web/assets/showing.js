/** What the page shows, and nothing else. Everything is set as text. */

import { NOTHING_KNOWN } from "./seeing.js";

const at = (id) => document.getElementById(id);

/** The answer, which is the index of a class or null for nothing that the network knows; and the best classes as bars. */
export function showAnswer(index, best, labels) {
  const known = index !== null;
  const answer = at("answer"), text = known ? labels[index] : NOTHING_KNOWN;
  if (answer.textContent !== text) answer.textContent = text; // a screen reader reads changes only
  answer.classList.toggle("nothing", !known);
  const rows = at("rows");
  while (rows.children.length < best.length) rows.append(makeRow());
  while (rows.children.length > best.length) rows.lastChild.remove();
  best.forEach(({ index, score }, place) => {
    const [name, percent] = rows.children[place].querySelectorAll("span");
    name.textContent = labels[index];
    percent.textContent = `${(100 * score).toFixed(1)} %`;
    rows.children[place].querySelector(".bar").style.transform = `scaleX(${score})`;
  });
}

function makeRow() {
  const row = document.createElement("li"), name = element("div", "name"), track = element("div", "track");
  name.append(element("span"), element("span"));
  track.append(element("div", "bar"));
  track.setAttribute("aria-hidden", "true"); // the number says it
  row.append(name, track);
  return row;
}

function element(kind, name = "") {
  const made = document.createElement(kind);
  made.className = name;
  return made;
}

export function showFigures(fps, p50, p90) {
  at("fps").textContent = fps === null ? "–" : fps.toFixed(1);
  at("p50").textContent = `${p50.toFixed(1)} ms`;
  at("p90").textContent = `${p90.toFixed(1)} ms`;
}

export function showModel({ name, runtime }, { threads }) {
  const many = threads === 1 ? "1 thread" : `${threads} threads`;
  at("model").textContent = `${name} · ${runtime.name} ${runtime.version} · ${many}`;
}

export function showUpdating() {
  at("answer").textContent = "getting the new version";
}

export function showKept(kept) {
  at("kept").textContent = kept ? "A copy is kept on this device: the page opens without a network." : "No copy could be kept on this device.";
}

export function showTrouble({ title, remedy }) {
  at("trouble-title").textContent = title;
  at("trouble-remedy").textContent = remedy;
  at("trouble").hidden = false;
}

export function hideTrouble() {
  at("trouble").hidden = true;
}
