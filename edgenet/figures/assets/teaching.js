"use strict";
// Adds buttons to the photos, keeps what was ticked, and writes the decisions as a file. Names come from other people:
// they are only ever put into the page as text.
(() => {
  const data = JSON.parse(document.getElementById("review-data").textContent);
  const photos = new Map(data.photos.map((photo) => [photo.id, photo]));
  const figures = new Map();
  const decisions = new Map(); // photo's id -> class index, or ASIDE
  const ASIDE = -1;
  const place = "edgenet.review." + data.key;

  const make = (kind, text, className) => {
    const element = document.createElement(kind);
    if (text) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  function button(text, spoken, act) {
    const made = make("button", text);
    made.type = "button";
    made.setAttribute("aria-label", spoken);
    made.title = spoken;
    made.addEventListener("click", act);
    return made;
  }

  function decide(id, choice) {
    set(id, choice);
    keep();
  }

  function set(id, choice) {
    if (choice === null || choice === photos.get(id).given) decisions.delete(id);
    else decisions.set(id, choice);
    show(id);
  }

  const toggle = (id, choice) => decide(id, decisions.get(id) === choice ? null : choice);

  function addTools(figure) {
    const id = Number(figure.dataset.photo);
    const photo = photos.get(id);
    if (!photo) return;
    const tools = make("div", "", "tools");
    const likely = figure.dataset.likely === undefined ? null : Number(figure.dataset.likely);
    const parts = { figure, likely, move: null, aside: null, other: null };
    if (likely !== null) {
      const name = data.shown[likely];
      parts.move = button("→ " + name, "Move " + photo.shown + " to " + name, () => toggle(id, likely));
      tools.append(parts.move);
    }
    parts.aside = button("set aside", "Set aside " + photo.shown, () => toggle(id, ASIDE));
    tools.append(parts.aside);
    if (!figure.hasAttribute("data-only-aside")) {
      parts.other = otherClass(id, photo);
      tools.append(parts.other);
    }
    figure.append(tools);
    if (!figures.has(id)) figures.set(id, []);
    figures.get(id).push(parts);
  }

  function otherClass(id, photo) {
    const select = make("select");
    select.setAttribute("aria-label", "Move " + photo.shown + " to another class");
    const first = make("option", "move to…");
    first.value = "";
    select.append(first);
    // Two hundred classes in four hundred lists would be slow, so a list is filled when it is first used.
    const fill = () => {
      if (select.options.length > 2) return;
      const kept = select.value;
      select.replaceChildren(first);
      data.shown.forEach((name, index) => {
        if (index !== photo.given) select.append(option(name, index));
      });
      select.value = kept;
    };
    for (const event of ["focus", "pointerdown", "keydown"]) select.addEventListener(event, fill);
    select.addEventListener("change", () => decide(id, select.value === "" ? null : Number(select.value)));
    return select;
  }

  function option(name, index) {
    const made = make("option", name);
    made.value = String(index);
    return made;
  }

  function show(id) {
    const choice = decisions.has(id) ? decisions.get(id) : null;
    for (const { figure, likely, move, aside, other } of figures.get(id) || []) {
      figure.classList.toggle("ticked", choice !== null);
      if (move) move.setAttribute("aria-pressed", String(choice === likely));
      aside.setAttribute("aria-pressed", String(choice === ASIDE));
      if (!other) continue;
      const elsewhere = choice !== null && choice !== ASIDE && choice !== likely;
      const value = elsewhere ? String(choice) : "";
      if (elsewhere && ![...other.options].some((one) => one.value === value)) other.append(option(data.shown[choice], choice));
      other.value = value;
      other.classList.toggle("chosen", elsewhere);
    }
    count();
  }

  const bar = make("div", "", "bar");
  bar.setAttribute("role", "region");
  bar.setAttribute("aria-label", "Your decisions");
  const told = make("p");
  told.setAttribute("role", "status");
  const save = button("Download review.json", "Download review.json", download);
  save.classList.add("main");
  const clear = button("Clear", "Clear all decisions", () => {
    for (const id of [...decisions.keys()]) decide(id, null);
  });

  function count() {
    const moved = [...decisions.values()].filter((choice) => choice !== ASIDE).length;
    const aside = decisions.size - moved;
    bar.hidden = decisions.size === 0;
    told.textContent = `${moved} to move, ${aside} to set aside. Nothing is changed yet.`;
  }

  function keep() {
    try {
      if (decisions.size) localStorage.setItem(place, JSON.stringify([...decisions]));
      else localStorage.removeItem(place);
    } catch { /* a browser may refuse storage to pages from files; then a reload forgets the decisions */ }
  }

  function remember() {
    try {
      const kept = new Map(JSON.parse(localStorage.getItem(place) || "[]"));
      for (const id of [...decisions.keys()]) if (!kept.has(id)) set(id, null);
      for (const [id, choice] of kept) {
        const known = choice === ASIDE || (Number.isInteger(choice) && choice >= 0 && choice < data.classes.length);
        if (photos.has(id) && known) set(id, choice);
      }
    } catch { /* no storage, or something else's text in it */ }
  }

  function download() {
    const list = [...decisions].map(([id, choice]) => {
      const photo = photos.get(id);
      const what = { file: photo.file, sha256: photo.sha256, class: data.classes[photo.given] };
      return choice === ASIDE ? { ...what, action: "set aside" } : { ...what, action: "move", to: data.classes[choice] };
    });
    const text = JSON.stringify({ format: "edgenet.review.v1", data: data.data, decisions: list }, null, 1);
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "application/json" }));
    link.download = "review.json";
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    told.replaceChildren("Saved as review.json. Now run: ", make("code", data.command));
  }

  for (const figure of document.querySelectorAll("figure[data-photo]")) addTools(figure);
  for (const bulk of document.querySelectorAll("[data-tick]")) {
    const pairs = bulk.dataset.tick.split(",").map((pair) => pair.split(":").map(Number));
    const made = button(bulk.dataset.text, bulk.dataset.spoken, () => {
      const all = pairs.every(([id, choice]) => decisions.get(id) === choice);
      for (const [id, choice] of pairs) decide(id, all ? null : choice);
    });
    bulk.append(made);
  }
  if (photos.size) {
    const row = make("div", "", "row");
    row.append(told, save, clear);
    bar.append(row);
    document.body.append(bar);
    remember();
    count();
    // The same report in another tab: without this each tab would overwrite what was ticked in the other.
    addEventListener("storage", (event) => {
      if (event.key === place || event.key === null) remember();
    });
  }
})();
