/** The step Deploy: devices as cards; each button runs one of edgenet's commands for its device, and shows how it goes. */

import { bundlePicker, chosenBundle, titleOf } from "./bundles.js";
import { keptThreshold } from "./threshold.js";
import { fill, h, say } from "./ui.js";

const KINDS = ["measure", "install", "rollback", "status", "switch", "watch", "page", "collect"];
const ADDED = "edgenet-devices", BUDGET = "edgenet-budget", CAMERA = "edgenet-camera", PORT = "edgenet-port", KEEP = "edgenet-keep";
const USUAL = { [BUDGET]: "33", [CAMERA]: "0", [PORT]: "8080" };
const kept = (key) => localStorage.getItem(key) ?? USUAL[key];

export function mount(root, app) {
  const step = new Deploying(root, app);
  const off = app.onState((state) => step.take(state));
  step.find();
  return () => {
    step.closed = true;
    off();
  };
}

class Deploying {
  constructor(root, app) {
    Object.assign(this, { root, app, S: app.strings.deploy, bundle: null, devices: null, latencies: {}, cards: new Map(), closed: false });
    this.known = new Set(Object.values(app.state.jobs).filter(({ ended }) => ended !== null).map(({ number }) => number));
  }

  take(state) {
    const bundle = chosenBundle(this.app, state);
    if (!bundle) {
      const { S } = this;
      this.root.replaceChildren(h("h1", {}, S.title), h("p", {}, S.none), h("p", {}, h("button", { type: "button", class: "main", onclick: () => this.app.go("teach") }, S.teach)));
      return;
    }
    const other = !this.bundle || this.bundle.name !== bundle.name || this.bundle.version !== bundle.version;
    this.bundle = bundle;
    if (!this.list) this.build();
    this.picker.replaceChildren(...bundlePicker(this.app, state, bundle, (name) => ((this.app.chosen = name), this.take(this.app.state))));
    this.hear(state.jobs);
    if (other) this.readLatencies();
    this.showJobs();
  }

  build() {
    const { S } = this;
    this.picker = h("div", { class: "row" });
    const field = (key, label, more) => {
      const input = h("input", { id: key, value: kept(key), autocomplete: "off", ...more, oninput: () => (localStorage.setItem(key, input.value), this.showLatencies()) });
      return h("p", { class: "row" }, h("label", { for: key }, label), input);
    };
    const keep = h("input", { type: "checkbox", id: KEEP, checked: kept(KEEP) === "yes", onchange: () => localStorage.setItem(KEEP, keep.checked ? "yes" : "no") });
    this.list = h("div", { class: "grid deploy-cards", "aria-live": "off" });
    this.note = h("p", { class: "muted" }, S.looking);
    const address = h("input", { id: "deploy-address", placeholder: "pi@raspberrypi.local", required: true, maxlength: 200, autocomplete: "off", spellcheck: "false" });
    const add = h(
      "form",
      { class: "row", onsubmit: (event) => (event.preventDefault(), this.add(address.value.trim()), (address.value = "")) },
      h("label", { for: "deploy-address" }, S.another), address, h("button", { type: "submit" }, S.add), h("button", { type: "button", onclick: () => this.find() }, S.again),
    );
    this.root.replaceChildren(
      h("h1", {}, S.title), this.picker,
      field(BUDGET, S.budget, { type: "number", min: 1, max: 10000, step: 1 }),
      this.list, this.note, add,
      h("details", { class: "panel" }, h("summary", {}, S.camera), field(CAMERA, S.source, { type: "text", maxlength: 400 }), field(PORT, S.port, { type: "number", min: 1, max: 65535 }), h("p", {}, h("label", {}, keep, S.keep)), h("p", { class: "muted" }, say(S.threshold, { percent: Math.round(100 * keptThreshold()) }))),
    );
  }

  /** Looks for devices: this machine, the hosts of the ssh configuration, attached phones; and those that were added. */
  async find() {
    try {
      const { devices, note } = await this.app.api.get("/api/devices");
      if (this.closed) return;
      const added = JSON.parse(localStorage.getItem(ADDED) || "[]").filter((on) => typeof on === "string" && !devices.some((one) => one.on === on));
      this.devices = [...devices, ...added.map((on) => ({ on, kind: on.split(":")[0], about: "", added: true }))];
      if (this.note) this.note.textContent = note;
      this.showDevices();
    } catch (error) {
      this.app.showFault(error);
    }
  }

  add(text) {
    const on = /^(local|adb|ssh:|adb:)/.test(text) ? text : `ssh:${text}`;
    const added = JSON.parse(localStorage.getItem(ADDED) || "[]");
    if (!added.includes(on)) localStorage.setItem(ADDED, JSON.stringify([...added, on]));
    this.find();
  }

  forget(on) {
    localStorage.setItem(ADDED, JSON.stringify(JSON.parse(localStorage.getItem(ADDED) || "[]").filter((one) => one !== on)));
    this.find();
  }

  showDevices() {
    if (!this.list || !this.devices) return;
    this.cards = new Map(this.devices.map((device) => [device.on, new Card(this, device)]));
    this.list.replaceChildren(...[...this.cards.values()].map(({ root }) => root));
    this.showLatencies();
    this.showJobs();
  }

  async readLatencies() {
    try {
      this.latencies = await this.app.api.get("/api/latencies", { bundle: this.bundle.name });
    } catch (error) {
      this.latencies = {};
      this.app.showFault(error);
    }
    if (!this.closed) this.showLatencies();
  }

  showLatencies() {
    for (const [on, card] of this.cards) card.showLatency(this.latencies[on], Number(kept(BUDGET)));
  }

  /** Says once how a command ended. */
  hear(jobs) {
    for (const kind of KINDS) {
      const job = jobs[kind];
      if (!job || job.ended === null || this.known.has(job.number)) continue;
      this.known.add(job.number);
      if (kind === "measure") this.readLatencies();
      const card = this.cards.get(job.about.on), on = card ? card.title : job.about.on;
      if (job.state === "done") this.app.announce(say(this.S.ended[kind], { on }));
      if (job.state === "failed") this.app.announce(`${on}: ${job.error}`);
      // The camera belongs to the service, which shows it on a page of its own.
      if (job.state === "failed" && kind === "watch" && card?.device.kind === "ssh" && /in use/.test(job.error)) this.start("page", job.about.on);
      if (card && job.state === "done" && ["install", "rollback", "switch"].includes(kind) && card.device.kind !== "local") this.start("status", job.about.on);
    }
  }

  showJobs() {
    if (!this.app.state) return;
    for (const [on, card] of this.cards) card.showJobs(Object.values(this.app.state.jobs).filter((job) => KINDS.includes(job.kind) && job.about.on === on));
  }

  async start(kind, on, more = {}) {
    const given = { kind, on, bundle: this.bundle.name, threshold: keptThreshold(), source: kept(CAMERA), port: kept(PORT), keep: kept(KEEP) === "yes", ...more };
    try {
      await this.app.api.post("/api/deploy", given);
    } catch (error) {
      this.app.showFault(error);
    }
  }
}

class Card {
  constructor(step, device) {
    const { S } = step, { on, kind } = device;
    const title = kind === "local" ? S.here : on.slice(on.indexOf(":") + 1);
    Object.assign(this, { step, device, S, title, buttons: {} });
    const button = (name, text, run, more = {}) => (this.buttons[name] = h("button", { type: "button", "data-do": name, onclick: run, ...more }, text));
    const phone = kind === "adb", here = kind === "local";
    this.latency = h("p", { class: "deploy-latency" }, S.unmeasured);
    this.service = h("input", { type: "checkbox", checked: !here && !phone });
    this.jobs = h("div", { class: "deploy-jobs" });
    const id = `device-${on.replace(/[^a-z0-9]/gi, "-")}`;
    this.root = h(
      "section",
      { class: "panel", "data-on": on, "aria-labelledby": id },
      h("div", { class: "row spread" }, h("h2", { id }, title), h("span", { class: "chip" }, S.kinds[kind] || device.about)),
      device.about && !here && h("p", { class: "muted" }, device.about),
      this.latency,
      h("p", { class: "row" }, button("measure", S.measure, () => step.start("measure", on)), button("watch", phone ? S.watchPhone : S.watch, () => step.start(this.hasService() ? "page" : "watch", on))),
      !phone && h("p", {}, h("label", {}, this.service, S.service)),
      h("p", { class: "row" }, button("install", S.install, () => this.install(), { class: "main" }), button("rollback", S.rollback, () => this.back()), button("status", S.status, () => step.start("status", on))),
      !phone && h("p", { class: "row" }, button("serviceOn", S.serviceOn, () => step.start("switch", on, { running: true })), button("serviceOff", S.serviceOff, () => step.start("switch", on, { running: false })), button("collect", S.collect, () => step.start("collect", on))),
      this.jobs,
      device.added && h("p", {}, h("button", { type: "button", class: "quiet", onclick: () => step.forget(on) }, S.forget)),
    );
  }

  /** Whether a service runs there, as the device said last. */
  hasService() {
    const job = this.step.app.state.jobs.status;
    return job?.about.on === this.device.on && job.state === "done" && job.result.service === "active" && Boolean(job.result.page);
  }

  install() {
    this.step.start("install", this.device.on, { service: this.device.kind !== "adb" && this.service.checked });
  }

  async back() {
    const { ask, strings } = this.step.app;
    const sure = await ask({ title: this.S.rollbackTitle, text: say(this.S.rollbackText, { on: this.device.on }), confirm: this.S.rollback, cancel: strings.shell.cancel });
    if (sure) this.step.start("rollback", this.device.on);
  }

  showLatency(figures, budget) {
    if (!figures) {
      this.latency.replaceChildren(this.S.unmeasured);
      return;
    }
    const fits = figures.p50_ms <= budget;
    fill(
      this.latency,
      h("b", {}, `${figures.p50_ms.toFixed(1)} ms`),
      budget > 0 && h("span", { class: `chip ${fits ? "" : "bad"}` }, say(fits ? this.S.fits : this.S.over, { budget })),
      !figures.valid && h("span", { class: "chip warn" }, say(this.S.invalid, { reason: figures.reasons[0] || "" })),
    );
  }

  showJobs(jobs) {
    const busy = new Set(jobs.filter(({ ended }) => ended === null).map(({ kind }) => kind));
    for (const [name, button] of Object.entries(this.buttons)) button.disabled = busy.has(name.startsWith("service") ? "switch" : name);
    this.buttons.watch.disabled ||= busy.has("page");
    jobs.sort((one, other) => one.number - other.number);
    fill(this.jobs, ...jobs.map((job) => this.job(job)));
  }

  job(job) {
    const { S } = this, state = { class: "deploy-job", "data-kind": job.kind, "data-state": job.state };
    const stop = () => this.step.app.api.post("/api/deploy/stop", { kind: job.kind }).catch(this.step.app.showFault);
    if (job.ended === null) {
      // What `edgenet camera` says first is where its page is; a phone's browser opens its page by itself.
      const link = ["watch", "page"].includes(job.kind) && this.device.kind !== "adb" && /https?:\/\/\S+/.exec(job.lines.join(" "));
      const share = job.total ? (100 * job.done) / job.total : null;
      const bar = share !== null && h("div", { class: "bar", role: "progressbar", "aria-label": S.names[job.kind], "aria-valuenow": Math.round(share), "aria-valuemin": 0, "aria-valuemax": 100 }, filled(share));
      const page = link && h("a", { class: "button", href: link[0], target: "_blank", rel: "noopener" }, S.open);
      return h("div", state, h("p", {}, job.stage ? `${S.names[job.kind]}: ${job.stage}` : job.kind === "watch" ? S.watching : job.kind === "page" ? S.pageOpens : say(S.running, { name: S.names[job.kind] })), bar, h("p", { class: "row" }, page, h("button", { type: "button", onclick: stop }, S.stop)));
    }
    if (job.state === "failed") return h("p", { ...state, class: "deploy-job note bad", role: "alert" }, `${S.names[job.kind]}: ${job.error}`);
    if (job.state === "stopped") return h("p", { ...state, class: "deploy-job muted" }, say(S.stopped, { name: S.names[job.kind] }));
    return h("p", state, ...this.outcome(job));
  }

  /** How a command ended, in words. */
  outcome({ kind, result, about }) {
    const { S } = this;
    if (kind === "install" || kind === "rollback") {
      const words = [say(S.runs, { bundle: kind === "install" ? titleOf(this.step.app.strings.try, about.bundle) : result.release })];
      if (result.service) words.push(S.serviceRuns);
      return [[...words, ...(result.notes || [])].join(" ")];
    }
    if (kind === "status") return [this.status(result)];
    if (kind === "collect") return [say(result.new === 1 ? S.collectedOne : S.collected, { n: result.new }), " ", ...(result.notes || []), h("button", { type: "button", class: "quiet", onclick: () => this.step.app.go("collect") }, S.toCollect)];
    return [say(S.ended[kind], { on: this.title })];
  }

  status(result) {
    const { S } = this, parts = [result.bundle ? say(S.hasBundle, { bundle: result.bundle }) : S.hasNone];
    if (result.service) parts.push(say(S.serviceIs, { state: result.service }));
    if (result.fps !== null) parts.push(say(S.sees, { label: result.label || S.nothing, fps: result.fps.toFixed(1), ms: (result.p50_ms || 0).toFixed(1) }));
    for (const trouble of [result.lost, ...(result.warnings || [])]) if (trouble) parts.push(`${trouble}.`);
    if (result.last_error) parts.push(say(S.lastError, { error: result.last_error }));
    return parts.join(" ");
  }
}

/** The filled part of a bar; its width is set here, because the page's policy allows no styles in elements. */
function filled(share) {
  const part = h("span");
  part.style.width = `${share}%`;
  return part;
}
