/** The step Teach: one button, what happens meanwhile, and what came of it. */

import { count, fill, h, say } from "./ui.js";

const MINUTES = [2, 10, 30, 60];

export function mount(root, app) {
  const S = app.strings.teach;
  let starting = false;
  const before = h("section", { class: "panel" });
  const now = h("section", { class: "panel", "aria-live": "off", hidden: true });
  const runs = h("section", { class: "panel", hidden: true });
  root.append(h("h1", {}, S.title), h("p", { class: "lead" }, S.lead), before, now, runs);

  const minutes = h("select", { id: "minutes" }, MINUTES.map((n) => h("option", { value: n, selected: n === 10 }, say(n === 60 ? S.hour : S.minutes, { n }))));
  const noFlip = h("input", { type: "checkbox", id: "no-flip" });
  const quick = h("input", { type: "checkbox", id: "quick" });
  const button = h("button", { type: "button", class: "main", id: "teach", onclick: start }, S.button);

  async function start() {
    starting = true;
    show();
    try {
      const flags = [noFlip.checked && "--no-flip", quick.checked && "--no-finetune"].filter(Boolean);
      const job = await app.api.post("/api/teach", { minutes: Number(minutes.value), flags });
      app.state.jobs = { ...app.state.jobs, teach: job };
      app.announce(S.begun);
    } catch (error) {
      app.showFault(error);
    }
    starting = false;
    show();
  }

  async function stop() {
    try {
      await app.api.post("/api/teach/stop", {});
    } catch (error) {
      app.showFault(error);
    }
  }

  function show() {
    const { classes, jobs } = app.state;
    const job = jobs.teach, running = starting || (job && job.ended === null);
    const full = classes.filter((one) => one.photos > 0), photos = full.reduce((sum, one) => sum + one.photos, 0);
    button.disabled = running || full.length < 2;
    button.textContent = job && !running ? S.again : S.button;
    fill(
      before,
      h("p", { class: "row" }, full.length < 2 ? S.tooFew : say(S.have, { photos: count(app.strings.shell.photos, photos), classes: full.length }), full.slice(0, 20).map((one) => h("span", { class: one.photos < 8 ? "chip warn" : "chip" }, h("bdi", {}, one.label), ` ${one.photos}`))),
      full.some((one) => one.photos < 8) && full.length > 1 && h("p", { class: "muted" }, S.fewPhotos),
      h("p", { class: "row" }, button, running && h("button", { type: "button", id: "stop", onclick: stop, disabled: job?.state === "stopping" }, S.stop), full.length < 2 && h("button", { type: "button", onclick: () => app.go("collect") }, S.collect)),
      h("details", { open: !running && before.dataset.open === "1", ontoggle: (event) => (before.dataset.open = event.target.open ? "1" : "") }, h("summary", {}, S.options), h("div", { class: "step" }, h("label", { for: "minutes" }, S.howLong, " ", minutes), h("label", {}, noFlip, S.noFlip), h("label", {}, quick, S.quick))),
    );
    showJob(job, running);
    showRuns();
  }

  function showJob(job, running) {
    now.hidden = !job;
    if (!job) return;
    const share = job.total ? job.done / job.total : null;
    const bar = h("div", { class: "bar", role: "progressbar", "aria-label": S.progress, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": share === null ? null : Math.round(100 * share) }, h("span"));
    bar.firstChild.style.width = `${share === null ? 8 : Math.max(2, 100 * share)}%`;
    const first = job.lines.find((line) => line.startsWith("first classifier after"));
    const ready = app.state.runs.find((one) => one.run === job.about.run);
    fill(
      now,
      h("h2", { id: "teach-state" }, S.states[job.state] || job.state),
      running && h("p", {}, S.stages[job.stage] || job.stage, job.total ? ` ${job.done} / ${job.total}` : ""),
      running && bar,
      first && job.state !== "done" && h("p", { class: "note" }, firstWords(first), " ", ready?.bundle && h("button", { type: "button", onclick: () => app.go("try") }, S.tryIt)),
      job.error && job.state !== "stopped" && h("p", { class: "note bad", role: "alert" }, job.error),
      job.state === "stopped" && h("p", {}, first ? S.stoppedWith : S.stoppedEmpty),
      job.state === "done" && job.result && resultWords(job.result),
      !running && ready?.report && h("p", { class: "row" }, h("button", { type: "button", class: "main", id: "to-look", onclick: () => app.go("look", { run: job.about.run }) }, S.toLook), h("button", { type: "button", onclick: () => app.go("try") }, S.tryIt)),
      job.lines.length > 0 && h("details", {}, h("summary", {}, S.log), h("p", { class: "log", tabindex: "0" }, job.lines.join("\n"))),
    );
  }

  const firstWords = (line) => {
    const found = /after (\d+) s: ([\d.]+) % of (\d+) photos/.exec(line);
    return found ? say(S.first, { seconds: found[1], share: Math.round(Number(found[2])), photos: found[3] }) : line;
  };

  function resultWords(result) {
    const { judged, method, variant, int8, first_seconds: first, seconds } = result;
    return h("p", {}, say(S.result, { share: Math.round(judged.top1), low: Math.round(judged.interval.low), high: Math.round(judged.interval.high) }), " ", h("span", { class: "muted" }, say(S.made, { method: S.methods[method] || method, variant, recipe: int8.recipe, first: Math.round(first), seconds: Math.round(seconds) })));
  }

  function showRuns() {
    const old = app.state.runs.filter((one) => one.report);
    runs.hidden = old.length < 2;
    fill(runs, h("h2", {}, S.runs), h("ul", {}, old.map((one) => h("li", {}, h("a", { href: "#look", onclick: () => (app.chosen = { run: one.run }) }, one.run)))));
  }

  return app.onState(show);
}
