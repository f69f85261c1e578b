/** The step Try: the int8 file itself runs here, on the camera or on a photo, with the pixels of every other device. */

import { Engine } from "./page/engine.js";
import { onEachFrame } from "./page/camera.js";
import { NOTHING_KNOWN, percentile, Recent, Smoother, SteadyAnswer, topK } from "./page/seeing.js";
import { chosenBundle, bundlePicker } from "./bundles.js";
import { listCameras, openCamera, stopCamera, takePhoto } from "./camera.js";
import { costText, keptThreshold, keepThreshold } from "./threshold.js";
import { h, say } from "./ui.js";

const HALF_LIFE_S = 0.3; // as camera.py
const EYES_MS = 100; // eyes want no more, and drawing takes time from the network
const TOP = 5;
const NONE = "none", UNLABELLED = "unlabelled"; // photos of other things (see teaching/unknown.py), and photos that nobody has labelled
const VIDEO = { id: "try-video", playsinline: true, muted: true, autoplay: true };

export function mount(root, app) {
  const tried = new Trying(root, app);
  const off = app.onState((state) => tried.take(state));
  return () => {
    off();
    tried.close();
  };
}

class Trying {
  constructor(root, app) {
    Object.assign(this, { root, app, S: app.strings.try, bundle: null, engine: null, facts: null, camera: null });
    this.figures = { ends: new Recent(60), inference: new Recent(300) };
    this.closed = this.looking = this.missed = false;
    this.stream = this.photo = this.frozen = null; // what is seen: the camera, a photo's file, or a picture that was wrong
    this.threshold = keptThreshold();
    this.opening = 0;
  }

  /** Shows the chosen bundle, and another version of it as soon as there is one. */
  take(state) {
    const bundle = chosenBundle(this.app, state);
    if (this.frame && bundle && this.bundle && bundle.name === this.bundle.name && bundle.version === this.bundle.version) {
      this.showPicker(state);
      return;
    }
    const better = this.bundle && bundle && bundle.name === this.bundle.name;
    this.bundle = bundle;
    if (!bundle) {
      this.endCamera();
      this.dropEngine();
      this.frame = null;
      this.root.replaceChildren(h("h1", {}, this.S.title), h("p", {}, this.S.none), h("p", {}, h("button", { type: "button", class: "main", onclick: () => this.app.go("teach") }, this.S.teach)));
      return;
    }
    if (better) this.app.toast(this.S.better);
    if (!this.frame) this.build();
    this.showPicker(state);
    this.open();
  }

  build() {
    const { S } = this;
    this.video = h("video", { ...VIDEO, "aria-label": S.video });
    this.image = h("img", { alt: S.photoAlt, hidden: true });
    this.answer = h("p", { class: "try-answer nothing", id: "try-answer", role: "status", "aria-live": "polite" }, S.starting);
    this.trouble = h("div", { class: "try-trouble", role: "alert", hidden: true });
    this.frame = h("section", { class: "try-view", "aria-label": S.view }, this.video, this.image, this.answer, this.trouble);
    this.picker = h("div", { class: "row" });
    this.rows = h("ol", { class: "try-rows", "aria-label": S.best });
    this.speed = h("p", { class: "muted", id: "try-speed" });
    this.file = h("input", { type: "file", id: "try-file", accept: "image/*", hidden: true, onchange: () => this.chosenFiles(this.file.files) });
    this.turn = h("button", { type: "button", hidden: true, onclick: () => this.turnCamera() }, S.turn);
    this.live = h("button", { type: "button", hidden: true, onclick: () => this.watch() }, S.camera);
    this.wrong = h("button", { type: "button", id: "try-wrong", disabled: true, onclick: () => this.askWhat() }, S.wrong);
    this.choices = h("div", { class: "try-choices", role: "group", "aria-label": S.what, hidden: true });
    this.slider = h("input", { type: "range", id: "try-threshold", min: 0, max: 99, step: 1, value: Math.round(100 * this.threshold), oninput: () => this.slide() });
    this.cost = h("p", { class: "muted", id: "try-cost" });
    this.level = h("output", { for: "try-threshold" });
    this.frame.ondragover = (event) => event.preventDefault();
    this.frame.ondrop = (event) => (event.preventDefault(), this.chosenFiles(event.dataTransfer.files));
    const picture = h("div", {}, this.frame, h("p", { class: "row" }, h("button", { type: "button", onclick: () => this.file.click() }, S.choose), this.live, this.turn, this.file));
    const side = h(
      "div",
      { class: "try-side" },
      h("section", { class: "panel" }, this.rows, this.speed),
      h("section", { class: "panel" }, h("h2", {}, S.wrongTitle), h("p", { class: "muted" }, S.wrongText), this.wrong, this.choices),
      h("section", { class: "panel" }, h("label", { for: "try-threshold" }, S.threshold), h("p", { class: "row" }, this.slider, this.level), this.cost),
    );
    this.root.replaceChildren(h("h1", {}, S.title), this.picker, h("div", { class: "try-grid" }, picture, side));
    onEachFrame(this.video, () => this.look());
    this.slide();
  }

  showPicker(state) {
    this.picker.replaceChildren(...bundlePicker(this.app, state, this.bundle, (name) => ((this.app.chosen = name), this.take(this.app.state))));
  }

  /** Opens the network of the bundle, and the camera beside it. */
  async open() {
    const opening = ++this.opening;
    this.dropEngine();
    try {
      const camera = this.photo || this.stream ? null : this.watch();
      const facts = await this.app.api.get("/api/try", { bundle: this.bundle.name });
      const engine = await Engine.open(facts);
      if (this.closed || opening !== this.opening) return engine.worker.terminate();
      Object.assign(this, { facts, engine });
      this.smoother = new Smoother(HALF_LIFE_S);
      this.steady = new SteadyAnswer(facts.labels, this.threshold, HALF_LIFE_S);
      this.slide();
      document.documentElement.dataset.tried = facts.model.sha256;
      await camera;
      if (this.photo) await this.showFile(this.photo);
    } catch (error) {
      if (!this.closed && opening === this.opening) this.tell(error);
    }
  }

  dropEngine() {
    if (this.engine) this.engine.worker.terminate();
    this.engine = null;
    this.looking = this.missed = false;
  }

  close() {
    this.closed = true;
    this.endCamera();
    this.dropEngine();
  }

  endCamera() {
    stopCamera(this.stream);
    this.stream = null;
  }

  /** Says what is wrong: an error of the camera, of the network (both have a title and a remedy), or of the server. */
  tell(error) {
    const title = error.title || error.found || this.S.fault, remedy = error.remedy || (error.title || error.found ? "" : String(error.message || error));
    const again = () => (this.engine ? this.watch() : this.open());
    this.trouble.replaceChildren(h("h2", {}, title), h("p", {}, remedy), h("button", { type: "button", onclick: again }, this.S.again));
    this.trouble.hidden = false;
  }

  /** Opens the camera, and shows it instead of a photo. */
  async watch() {
    this.endCamera();
    this.trouble.hidden = true;
    this.show(null);
    try {
      const stream = await openCamera(this.camera);
      if (this.closed) return stopCamera(stream);
      this.stream = stream;
      const [track] = stream.getVideoTracks();
      track.onended = () => this.tell({ title: this.S.gone, remedy: this.S.goneRemedy });
      this.video.classList.toggle("mirrored", track.getSettings().facingMode === "user");
      this.video.srcObject = stream;
      await this.video.play();
      this.cameras = await listCameras();
      this.turn.hidden = this.cameras.length < 2;
    } catch (error) {
      if (!this.closed) this.tell(error);
    }
  }

  turnCamera() {
    const now = this.stream ? this.stream.getVideoTracks()[0].getSettings().deviceId : null;
    const place = this.cameras.findIndex(({ id }) => id === now);
    this.camera = this.cameras[(place + 1) % this.cameras.length].id;
    this.watch();
  }

  /** Shows a photo, or the camera (null). */
  show(file) {
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.photo = file;
    if (file) this.image.src = URL.createObjectURL(file);
    else this.image.removeAttribute("src");
    this.image.hidden = this.live.hidden = !file;
    this.endChoice();
    if (this.smoother) this.smoother.forget(), this.steady.forget();
  }

  /** The newest frame wins: of those that come while the network is busy, it gets the last one afterwards. */
  async look() {
    const { engine } = this;
    if (!engine || this.closed || this.photo || this.frozen || !this.stream || this.video.readyState < 2) return;
    this.missed = this.looking || engine.busy;
    if (this.missed) return;
    this.looking = true;
    try {
      const seen = await engine.classify(await createImageBitmap(this.video));
      if (engine === this.engine && !this.photo && !this.frozen) this.showSeen(seen, this.smoother.update(seen.scores, performance.now() / 1000));
    } catch (error) {
      if (engine === this.engine) this.tell(error);
    }
    if (engine !== this.engine) return;
    this.looking = false;
    if (this.missed) this.look();
  }

  showSeen(seen, scores) {
    const now = performance.now(), answer = this.steady.update(scores, now / 1000);
    this.figures.inference.add(seen.ms.inference);
    this.figures.ends.add(now);
    this.last = { scores, answer };
    if (now - (this.drawn || 0) < EYES_MS) return;
    this.drawn = now;
    this.showAnswer(answer, scores);
    const { values } = this.figures.ends, span = values[values.length - 1] - values[0];
    const fps = span > 0 ? ((values.length - 1) / span) * 1000 : 0;
    this.speed.textContent = say(this.S.speed, { fps: fps.toFixed(1), ms: percentile(this.figures.inference.values, 50).toFixed(1) });
  }

  showAnswer(answer, scores) {
    const { labels } = this.facts, text = answer === null ? NOTHING_KNOWN : labels[answer];
    if (this.answer.textContent !== text) this.answer.textContent = text; // a screen reader reads changes only
    this.answer.classList.toggle("nothing", answer === null);
    this.wrong.disabled = false;
    const best = topK(scores, TOP);
    while (this.rows.children.length < best.length) this.rows.append(scoreRow());
    while (this.rows.children.length > best.length) this.rows.lastChild.remove();
    best.forEach(({ index, score }, place) => {
      const row = this.rows.children[place], [name, percent] = row.querySelectorAll("span");
      name.textContent = labels[index];
      percent.textContent = `${(100 * score).toFixed(1)} %`;
      row.querySelector("meter").value = score;
    });
  }

  chosenFiles(files) {
    if (files.length) this.showFile(files[0]);
    this.file.value = "";
  }

  /** A photo is classified as it is stored: no colour profile is applied, as on the other devices. */
  async showFile(file) {
    try {
      const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
      this.endCamera();
      this.trouble.hidden = true;
      if (file !== this.photo) this.show(file);
      const { engine } = this;
      if (!engine) return; // it is shown again once the network is there
      while (engine.busy) await new Promise((then) => setTimeout(then, 5));
      const seen = await engine.classify(bitmap);
      if (engine !== this.engine || this.photo !== file) return;
      this.last = { scores: seen.scores, answer: null };
      this.answerPhoto();
      document.documentElement.dataset.photos = Number(document.documentElement.dataset.photos || 0) + 1;
    } catch {
      this.app.toast(`${this.S.unreadable}. ${this.S.unreadableRemedy}`, null, "bad");
    }
  }

  answerPhoto() {
    this.last.answer = new SteadyAnswer(this.facts.labels, this.threshold, 0).update(this.last.scores, 0);
    this.showAnswer(this.last.answer, this.last.scores);
  }

  slide() {
    this.threshold = Number(this.slider.value) / 100;
    keepThreshold(this.threshold);
    const percent = `${this.slider.value} %`;
    this.level.textContent = percent;
    this.slider.setAttribute("aria-valuetext", percent);
    this.cost.textContent = this.facts ? costText(this.S, this.facts.costs, Number(this.slider.value)) : "";
    if (this.steady) {
      this.steady.threshold = this.threshold;
      this.steady.forget(); // the answer that is shown would stay down to two thirds of the score that it needs
    }
    if (this.engine && this.photo && this.last) this.answerPhoto();
  }

  /** Holds the picture that was answered wrongly, and asks what it shows. */
  askWhat() {
    if (!this.photo) {
      this.video.pause();
      this.frozen = takePhoto(this.video);
    }
    const labels = this.app.state.classes.map(({ label }) => label).filter((label) => ![NONE, UNLABELLED].includes(label));
    const choice = (label, text) => h("button", { type: "button", "data-label": label, onclick: () => this.correct(label, text) }, text);
    this.choices.replaceChildren(
      h("p", {}, this.S.what),
      ...labels.map((label) => choice(label, label)),
      choice(NONE, this.S.noneOfThese),
      h("button", { type: "button", class: "quiet", onclick: () => this.endChoice(true) }, this.app.strings.shell.cancel),
    );
    this.choices.hidden = false;
    this.wrong.hidden = true;
    this.choices.querySelector("button").focus();
  }

  endChoice(focus = false) {
    if (this.frozen) this.video.play().catch(() => {});
    this.frozen = null;
    this.choices.hidden = true;
    this.wrong.hidden = false;
    this.video.hidden = Boolean(this.photo);
    if (focus) this.wrong.focus();
  }

  /** Adds the picture to the class that it shows. */
  async correct(label, text) {
    try {
      const blob = this.photo || (await this.frozen), { api } = this.app;
      if (!this.app.state.classes.some((one) => one.label === label)) await api.post("/api/classes/add", { label });
      const { added, there, refused } = await api.upload(label, fileName(blob), blob);
      if (!added.length && !there.length) throw new Error(refused.length ? `${refused[0].name}: ${refused[0].reason}` : this.S.fault);
      const name = added[0]?.name; // none is new if the class had this very photo
      const undo = () => api.post("/api/photos/move", { moves: [{ from: { label, name }, to: { label, name, binned: true } }] }).catch(this.app.showFault);
      this.app.toast(say(this.S.added, { label: text }), name && { label: this.app.strings.shell.undo, run: undo });
      this.endChoice(true);
    } catch (error) {
      this.app.showFault(error);
    }
  }
}

function scoreRow() {
  return h("li", {}, h("div", { class: "try-name" }, h("span"), h("span")), h("meter", { min: 0, max: 1, value: 0, "aria-hidden": "true" }));
}

/** A name for a photo of this moment, such as try-20261130-041500.jpg. */
function fileName(blob) {
  const now = new Date(), two = (number) => String(number).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const suffix = (/\.[a-z0-9]{2,5}$/i.exec(blob.name || "") || [".jpg"])[0];
  return `try-${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}${suffix}`;
}
