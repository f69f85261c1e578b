/** The step Collect: classes as cards, and the photos of one class with a camera beside them. */

import { picture } from "./api.js";
import { showClass } from "./collect-class.js";
import { dropped, Uploads } from "./uploads.js";
import { count, fill, h, say, soon } from "./ui.js";

const moves = []; // what can be undone, as the server answered it
const uploads = new Uploads(); // they go on while another step is shown

/** Moves photos, and offers to undo it. `wanted`: [{ from, to }] as the route takes it. */
export async function move(app, wanted, text) {
  const S = app.strings.collect;
  try {
    const made = await app.api.post("/api/photos/move", { moves: wanted });
    if (made.moves.length) {
      moves.push(made.moves);
      app.toast(count(text, made.moves.length), { label: app.strings.shell.undo, run: () => undo(app) });
    }
    if (made.failed.length) app.toast(say(S.notMoved, { n: made.failed.length, reason: made.failed[0].reason }), null, "bad");
    await app.refresh();
  } catch (error) {
    app.showFault(error);
  }
}

export async function undo(app) {
  const last = moves.pop();
  if (!last) return;
  try {
    await app.api.post("/api/photos/move", { moves: [...last].reverse().map((one) => ({ from: one.to, to: one.from })) });
    app.announce(app.strings.collect.undone);
    await app.refresh();
  } catch (error) {
    app.showFault(error);
  }
}

export function mount(root, app) {
  const S = app.strings.collect;
  let close = null, opened = null;
  const progress = h("div", { class: "panel", hidden: true, role: "status" });
  const view = h("div", { class: "step" });
  root.append(progress, view);
  uploads.tell(soon(() => showUploads(), 150));

  function showUploads() {
    const { done, total, added, there, refused, fault } = uploads.state;
    const busy = uploads.busy > 0;
    progress.hidden = !busy && !refused.length && !there && !fault;
    const bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": total, "aria-valuenow": done, "aria-label": S.uploading }, h("span"));
    bar.firstChild.style.width = `${total ? (100 * done) / total : 0}%`;
    fill(progress, 
      h("p", { class: "row spread" }, h("b", {}, busy ? say(S.sent, { done, total }) : count(S.added, added)), h("button", { type: "button", class: "quiet", onclick: () => (busy ? uploads.stop() : (progress.hidden = true)) }, busy ? S.stop : app.strings.shell.close)),
      ...(busy ? [bar] : []),
      ...(fault ? [h("p", { class: "note bad", role: "alert" }, fault.message, " ", h("button", { type: "button", onclick: () => uploads.goOn() }, S.goOn))] : []),
      ...(there ? [h("p", {}, count(S.there, there))] : []),
      ...(refused.length ? [h("details", {}, h("summary", {}, count(S.refused, refused.length)), h("ul", {}, refused.slice(0, 100).map((one) => h("li", {}, h("bdi", {}, one.name), `: ${one.reason}`))))] : []),
    );
    if (!busy) app.refresh().catch(app.showFault);
  }

  function send(label, files) {
    uploads.add(files.map((one) => ({ loose: !label, ...one, label: one.label || label })));
  }

  async function take(event, label) {
    event.preventDefault();
    const files = await dropped(event.dataTransfer, label);
    const homeless = files.filter((one) => !one.label && !/\.zip$/i.test(one.file.name));
    if (homeless.length) app.toast(S.dropOnClass, null, "bad");
    send(label, files.filter((one) => !homeless.includes(one)));
  }

  function droppable(element, label) {
    element.ondragover = (event) => (event.preventDefault(), event.stopPropagation(), element.classList.add("over"));
    element.ondragleave = () => element.classList.remove("over");
    element.ondrop = (event) => (event.stopPropagation(), element.classList.remove("over"), take(event, label).catch(app.showFault));
    return element;
  }

  function card(one) {
    const heap = one.sample.length
      ? one.sample.map((photo) => h("img", { src: picture({ ...photo, label: one.label }), alt: "", loading: "lazy" }))
      : [h("span", { class: "empty" }, S.noPhotos)];
    const open = () => show(one.label);
    return droppable(
      h(
        "article",
        { class: "panel card", "data-label": one.label },
        h("button", { type: "button", class: "heap", onclick: open, "aria-label": say(S.open, { label: one.label }) }, heap),
        h(
          "div",
          { class: "body" },
          h("h2", {}, h("bdi", {}, one.label)),
          h("p", { class: "row" }, h("span", { class: "muted" }, count(app.strings.shell.photos, one.photos)), one.photos < 8 && h("span", { class: "chip warn" }, S.few)),
          h("p", { class: "row" }, h("button", { type: "button", class: "main", onclick: () => show(one.label, true) }, S.camera), fileButton(one.label)),
        ),
      ),
      one.label,
    );
  }

  function fileButton(label) {
    const input = h("input", { type: "file", multiple: true, accept: "image/*,.zip,.heic", hidden: true });
    input.onchange = () => (send(label, [...input.files].map((file) => ({ label, file }))), (input.value = ""));
    return [h("button", { type: "button", onclick: () => input.click() }, label ? S.files : S.zip), input];
  }

  async function addClass() {
    const label = await app.ask({ title: S.addClass, text: S.addClassText, field: { label: S.className }, confirm: S.add, cancel: app.strings.shell.cancel });
    if (!label) return;
    try {
      await app.api.post("/api/classes/add", { label });
      await app.refresh();
      show(label, true);
    } catch (error) {
      app.showFault(error);
    }
  }

  function overview() {
    const { classes, bin } = app.state;
    const binned = bin.reduce((sum, one) => sum + one.photos, 0);
    const ready = classes.filter((one) => one.photos > 1).length >= 2;
    fill(view, 
      h("h1", {}, S.title),
      h("p", { class: "lead" }, classes.length ? S.lead : S.first),
      h("p", { class: "row" }, h("button", { type: "button", class: ready ? "" : "main", id: "add-class", onclick: addClass }, S.addClass), fileButton(""), h("button", { type: "button", class: ready ? "main" : "", disabled: !ready, onclick: () => app.go("teach") }, S.toTeach)),
      h("div", { class: "grid" }, classes.map(card)),
      droppable(h("p", { class: "panel drop muted" }, S.drop), ""),
      binned > 0 && h("p", { class: "row" }, h("button", { type: "button", onclick: showBin }, count(S.bin, binned))),
      h("p", { class: "muted" }, S.folder, " ", h("bdi", {}, `${app.state.folder}/photos`)),
    );
  }

  function showBin() {
    show(app.state.bin[0].label, false, true);
  }

  function show(label, camera = false, binned = false) {
    if (close) close();
    close = null;
    opened = label;
    if (label === null) return overview();
    close = showClass(view, app, { label, camera, binned, uploads, send, droppable, fileButton, back: () => show(null), show });
    window.scrollTo(0, 0);
  }

  const off = app.onState(() => opened === null && overview());
  const keys = (event) => {
    const typing = event.target.matches("input, select, textarea");
    if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) (event.preventDefault(), undo(app));
  };
  document.addEventListener("keydown", keys);
  const back = app.events.on("open", () => uploads.state.fault?.status === 0 && uploads.goOn());
  if (uploads.busy) showUploads();
  if (app.chosen?.label) show(app.chosen.label, app.chosen.camera || false);
  app.chosen = null;
  return () => {
    off();
    back();
    uploads.tell(() => {});
    if (close) close();
    document.removeEventListener("keydown", keys);
  };
}
