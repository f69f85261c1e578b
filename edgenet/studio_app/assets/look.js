/** The step Look: how good the classifier is in plain words, what it mixes up, which labels look wrong, what to do next. */

import { move } from "./collect.js";
import { picture } from "./api.js";
import { count, fill, h, say } from "./ui.js";

const MOST = { errors: 60, mixups: 12, pictures: 6, alike: 12, lines: 100 };

export function mount(root, app) {
  const S = app.strings.look;
  let report = null, run = null, closed = false;
  const settled = new Set(); // photos that were dealt with on this page
  const body = h("div", { class: "step" });
  root.append(h("h1", {}, S.title), body);

  async function open(wanted) {
    const runs = app.state.runs.filter((one) => one.report);
    run = runs.some((one) => one.run === wanted) ? wanted : runs[0]?.run;
    if (!run) {
      report = null;
      fill(body, h("p", { class: "lead" }, S.nothing), h("p", {}, h("button", { type: "button", class: "main", onclick: () => app.go("teach") }, S.toTeach)));
      return;
    }
    try {
      const found = await app.api.get("/api/report", { run });
      if (closed) return;
      report = found;
      draw();
    } catch (error) {
      app.showFault(error);
    }
  }

  const name = (index) => h("bdi", {}, report.classes[index]?.name ?? "?");
  const plain = (index) => report.classes[index]?.name ?? "?";

  function place(index) {
    const { file } = report.photos[index], cut = file.indexOf("/");
    return { label: file.slice(0, cut), name: file.slice(cut + 1) };
  }

  function image(index, text) {
    const at = place(index);
    const one = h("img", { src: picture(at), alt: text || say(S.photoOf, { label: at.label }), loading: "lazy" });
    one.onerror = () => one.replaceWith(h("span", { class: "gone" }, S.gone));
    return one;
  }

  function draw() {
    const runs = app.state.runs.filter((one) => one.report);
    fill(
      body,
      runs.length > 1 && h("p", { class: "row" }, h("label", {}, S.run, " ", h("select", { onchange: (event) => open(event.target.value) }, runs.map((one) => h("option", { value: one.run, selected: one.run === run }, one.run))))),
      headline(),
      next(),
      errors(),
      mixups(),
      classes(),
      alike(),
      device(),
      skipped(),
    );
  }

  function headline() {
    const { top1, interval, photos, groups, how } = report.accuracy;
    const range = h("div", { class: "range", role: "img", "aria-label": say(S.rangeText, { low: Math.round(interval.low), high: Math.round(interval.high) }) }, h("i"), h("b"));
    range.children[0].style.left = `${interval.low}%`;
    range.children[0].style.width = `${Math.max(1, interval.high - interval.low)}%`;
    range.children[1].style.left = `calc(${top1}% - 2px)`;
    return h(
      "section",
      { class: "panel", id: "accuracy" },
      h("p", { class: "figure", id: "top1" }, `${Math.round(top1)} %`),
      h("p", {}, say(S.plain, { n: Math.round(top1) }), " ", h("b", {}, say(S.between, { low: Math.round(interval.low), high: Math.round(interval.high) }))),
      range,
      h("p", { class: "muted" }, say(S.judged, { photos: count(app.strings.shell.photos, photos), scenes: count(S.scenes, groups), how })),
      report.warnings.length > 0 && h("div", { class: "note" }, h("h2", {}, S.mind), h("ul", {}, report.warnings.map((line) => h("li", {}, sentence(line))))),
    );
  }

  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");

  const photograph = (index) => h("button", { type: "button", onclick: () => app.go("collect", { label: plain(index), camera: true }) }, S.photograph);

  function next() {
    const needy = report.classes.map((one, index) => ({ ...one, index })).filter((one) => one.advice.length).sort((a, b) => (a.recall ?? 100) - (b.recall ?? 100)).slice(0, 3);
    const doubled = report.twice_as_many_photos;
    const steps = [
      report.label_errors.length > 0 && h("li", {}, h("a", { href: "#labels", onclick: (event) => jump(event, "labels") }, count(S.lookAt, report.label_errors.length))),
      ...needy.map((one) => h("li", {}, h("b", {}, name(one.index)), `: ${one.advice[0]} `, photograph(one.index))),
      doubled && doubled.accuracy >= report.accuracy.top1 + 1 && h("li", {}, say(S.doubled, { n: Math.round(doubled.accuracy) })),
    ].filter(Boolean);
    return h(
      "section",
      { class: "panel" },
      h("h2", {}, S.next),
      steps.length ? h("ol", {}, steps) : h("p", {}, S.nothingToDo),
      h("p", { class: "row" }, h("button", { type: "button", onclick: () => app.go("teach") }, S.teachAgain), h("button", { type: "button", class: "main", onclick: () => app.go("try") }, S.tryIt)),
    );
  }

  function jump(event, id) {
    event.preventDefault(); // the address's hash names the step
    document.getElementById(id).scrollIntoView();
    document.getElementById(id).querySelector("h2").focus();
  }

  function section(id, title, ...children) {
    return h("section", { class: "panel", id, "aria-label": title }, h("h2", { tabindex: "-1" }, title), children);
  }

  function errors() {
    const left = report.label_errors.filter((one) => !settled.has(one.index));
    if (!report.label_errors.length) return section("labels", S.labels, h("p", {}, S.noErrors));
    return section("labels", S.labels, h("p", { class: "muted" }, S.errorsText), left.length ? h("div", { class: "thumbs acts" }, left.slice(0, MOST.errors).map(errorCard)) : h("p", {}, S.allSettled));
  }

  function errorCard(one) {
    const at = place(one.index);
    const act = (to, text) => async () => {
      settled.add(one.index);
      await move(app, [{ from: at, to: { label: at.label, name: at.name, ...to } }], text);
      draw();
    };
    return h(
      "figure",
      { "data-photo": one.index },
      image(one.index),
      h(
        "figcaption",
        {},
        h("span", {}, S.labelled, " ", h("b", {}, name(one.given)), S.looksLike, " ", h("b", {}, name(one.likely))),
        h("span", { class: "muted" }, say(S.likely, { n: Math.min(99, Math.round(100 * one.probability)) })),
        h(
          "span",
          { class: "row" },
          h("button", { type: "button", class: "main", onclick: act({ label: plain(one.likely) }, app.strings.collect.moved.map((text) => say(text, { n: "{n}", label: plain(one.likely) }))) }, say(S.fix, { label: plain(one.likely) })),
          h("button", { type: "button", onclick: () => (settled.add(one.index), draw()) }, S.right),
          h("button", { type: "button", onclick: act({ binned: true }, app.strings.collect.binned) }, S.bin),
        ),
      ),
    );
  }

  function mixups() {
    if (!report.mixups.length) return section("mixups", S.mixups, h("p", {}, S.noMixups));
    return section(
      "mixups",
      S.mixups,
      report.mixups.slice(0, MOST.mixups).map((pair) =>
        h(
          "div",
          { class: "step" },
          h("h3", {}, count(S.taken, pair.photos.length, { given: plain(pair.given), answer: plain(pair.predicted) })),
          h("div", { class: "thumbs" }, pair.photos.slice(0, MOST.pictures).map((index) => h("figure", {}, image(index), h("figcaption", { class: "muted" }, say(S.sure, { label: plain(pair.predicted), n: Math.round(100 * report.photos[index].confidence) }))))),
        ),
      ),
    );
  }

  function classes() {
    const rows = report.classes.map((one, index) =>
      h("tr", {}, h("th", { scope: "row" }, name(index)), h("td", { "data-name": S.columns[1] }, one.recall === null ? "–" : say(S.ofJudged, { right: one.right, judged: one.judged })), h("td", { "data-name": S.columns[2] }, one.photos), h("td", { "data-name": S.columns[3] }, one.scenes), h("td", {}, one.advice.length ? [one.advice.join(" "), " ", photograph(index)] : S.enough)),
    );
    return section("classes", S.classes, h("div", { class: "scroll" }, h("table", { class: "stack" }, h("thead", {}, h("tr", {}, S.columns.map((text) => h("th", { scope: "col" }, text)))), h("tbody", {}, rows))));
  }

  function alike() {
    if (!report.alike.length) return null;
    return section(
      "alike",
      S.alike,
      h("p", { class: "muted" }, S.alikeText),
      h("details", {}, h("summary", {}, count(S.groups, report.alike.length)), report.alike.slice(0, MOST.alike).map((group) => h("div", { class: "thumbs" }, group.slice(0, MOST.pictures).map((index) => h("figure", {}, image(index)))))),
    );
  }

  function device() {
    const { int8, unknown } = report;
    return section(
      "file",
      S.file,
      int8 && h("p", {}, say(S.int8, { size: (int8.size_bytes / 1e6).toFixed(2), int8: int8.int8_top1.toFixed(1), float: int8.float_top1.toFixed(1), photos: count(app.strings.shell.photos, int8.photos) })),
      int8 && h("p", { class: "muted" }, sentence(int8.verdict)),
      unknown && h("p", {}, say(S.unknown, { label: unknown.label, kept: Math.round(unknown.kept), alarms: Math.round(unknown.false_alarms), what: unknown.background })),
      report.choices.map((line) => h("p", { class: "muted" }, sentence(line))),
    );
  }

  function skipped() {
    if (!report.skipped.length) return null;
    return section("skipped", S.skipped, h("ul", {}, report.skipped.slice(0, MOST.lines).map((one) => h("li", {}, h("bdi", {}, one.file), `: ${one.reason}`))));
  }

  let known = "";
  const off = app.onState((state) => {
    const runs = state.runs.filter((one) => one.report).map((one) => one.run).join();
    if (runs === known && report) return;
    known = runs;
    open(app.chosen?.run || run);
    app.chosen = null;
  });
  return () => {
    closed = true;
    off();
  };
}
