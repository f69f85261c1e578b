/** The photos of one class, or of one class in the bin: the camera, the grid, and what can be done with many photos. */

import { picture } from "./api.js";
import { listCameras, openCamera, stopCamera, takePhoto } from "./camera.js";
import { move } from "./collect.js";
import { PhotoGrid } from "./grid.js";
import { fillOthers, showPi } from "./other-cameras.js";
import { count, fill, h, say, soon } from "./ui.js";

const EVERY_MS = 250; // while the button is held
const MOST_ON_THEIR_WAY = 6;

export function showClass(view, app, { label, camera, binned, uploads, send, droppable, fileButton, back, show }) {
  const S = app.strings.collect;
  let photos = [], only = "", closed = false, panel = null;
  const where = (photo) => ({ ...photo, label, binned });

  const grid = new PhotoGrid({
    label: say(S.photosOf, { label }),
    picture: (photo) => picture(where(photo)),
    describe: (photo) => [photo.name, ...photo.marks.map((mark) => S.marks[mark])].join(", "),
    marks: (photo) => photo.marks.map((mark) => h("span", { class: mark === "unreadable" ? "chip bad" : "chip warn" }, S.marks[mark])),
    opened: showLarge,
    binned: () => (binned ? null : toBin()),
    chosen: () => tools(),
  });
  const heading = h("h1", { tabindex: "-1" }, h("bdi", {}, label), binned ? ` (${S.inBin})` : "");
  const line = h("p", { class: "muted" });
  const bar = h("div", { class: "tools row", role: "toolbar", "aria-label": S.tools });
  const top = h("p", { class: "row" });
  const side = h("div", { class: "panel camera", hidden: true });
  const others = h("div", { class: "panel", hidden: true });
  const viewer = h("div", { class: "viewer" }, side, h("div", { class: "step" }, bar, droppable(grid.root, label)));
  fill(view, h("p", {}, h("button", { type: "button", onclick: back }, `‹ ${S.allClasses}`)), heading, line, top, others, viewer);

  function head() {
    const { classes } = app.state;
    fill(top, 
      ...(binned
        ? app.state.bin.filter((one) => one.label !== label).map((one) => h("button", { type: "button", onclick: () => show(one.label, false, true) }, h("bdi", {}, one.label)))
        : [
            h("button", { type: "button", class: panel ? "" : "main", onclick: () => (panel ? closeCamera() : startCamera()) }, panel ? S.cameraOff : S.camera),
            h("button", { type: "button", "aria-expanded": String(!others.hidden), onclick: showOthers }, S.otherCameras),
            ...fileButton(label),
            h("button", { type: "button", onclick: rename }, S.rename),
            h("button", { type: "button", onclick: remove }, S.removeClass),
            classes.length > 1 && h("select", { "aria-label": S.otherClass, onchange: (event) => show(event.target.value, Boolean(panel)) }, classes.map((one) => h("option", { value: one.label, selected: one.label === label }, one.label))),
          ]),
      ...(binned ? [h("button", { type: "button", class: "danger", onclick: emptyBin }, S.emptyBin)] : []),
    );
    line.textContent = count(app.strings.shell.photos, photos.length);
  }

  function tools() {
    const marked = (mark) => photos.filter((one) => one.marks.includes(mark));
    const n = grid.selected.size, shown = grid.photos;
    const choices = ["", "blurred", "repeated", "unreadable"].filter((mark) => !mark || marked(mark).length);
    fill(bar, 
      h("span", { class: "muted", role: "status" }, n ? count(S.selected, n) : S.hint),
      choices.length > 1 && h("select", { "aria-label": S.show, onchange: (event) => ((only = event.target.value), list()) }, choices.map((mark) => h("option", { value: mark, selected: mark === only }, mark ? `${S.marks[mark]} (${marked(mark).length})` : S.everything))),
      h("button", { type: "button", disabled: !shown.length, onclick: () => grid.select(n === shown.length ? [] : shown.map((one) => one.name)) }, n && n === shown.length ? S.none : S.all),
      binned
        ? h("button", { type: "button", disabled: !n, onclick: () => moveTo(label) }, S.restore)
        : h("select", { "aria-label": S.moveTo, disabled: !n, id: "move-to", onchange: (event) => event.target.value && moveTo(event.target.value) }, h("option", { value: "" }, S.moveTo), app.state.classes.filter((one) => one.label !== label).map((one) => h("option", { value: one.label }, one.label))),
      !binned && h("button", { type: "button", disabled: !n, onclick: toBin }, S.toBin),
    );
  }

  const chosen = () => [...grid.selected];
  const places = (names, to) => names.map((name) => ({ from: { label, name, binned }, to: { name, ...to } }));

  async function moveTo(other) {
    const names = chosen();
    grid.select([]);
    await move(app, places(names, { label: other, binned: false }), S.moved.map((text) => say(text, { n: "{n}", label: other })));
    load();
  }

  async function toBin() {
    const names = chosen();
    grid.select([]);
    await move(app, places(names, { label, binned: true }), S.binned);
    load();
  }

  async function emptyBin() {
    const n = app.state.bin.reduce((sum, one) => sum + one.photos, 0);
    const sure = await app.ask({ title: S.emptyBin, text: count(S.emptyBinText, n), confirm: S.deleteForGood, cancel: app.strings.shell.cancel, danger: true });
    if (!sure) return;
    try {
      await app.api.post("/api/bin/empty", { count: n });
      await app.refresh();
      back();
    } catch (error) {
      app.showFault(error);
    }
  }

  async function rename() {
    const named = await app.ask({ title: S.rename, field: { label: S.className, value: label }, confirm: S.rename, cancel: app.strings.shell.cancel });
    if (!named || named === label) return;
    try {
      await app.api.post("/api/classes/rename", { label, new_label: named });
      await app.refresh();
      show(named, Boolean(panel));
    } catch (error) {
      app.showFault(error);
    }
  }

  async function remove() {
    const sure = await app.ask({ title: say(S.removeTitle, { label }), text: S.removeText, confirm: S.removeClass, cancel: app.strings.shell.cancel, danger: true });
    if (!sure) return;
    try {
      await app.api.post("/api/classes/remove", { label });
      await app.refresh();
      back();
    } catch (error) {
      app.showFault(error);
    }
  }

  function showLarge(photo) {
    const dialog = document.getElementById("dialog");
    const end = () => (dialog.close(), fill(dialog), grid.root.focus());
    fill(dialog, h("div", { class: "step" }, h("img", { class: "large", src: picture(where(photo), true), alt: photo.name }), h("p", { class: "row spread" }, h("bdi", { class: "muted" }, photo.name), h("button", { type: "button", onclick: end }, app.strings.shell.close))));
    dialog.oncancel = (event) => (event.preventDefault(), end());
    dialog.showModal();
  }

  function list() {
    grid.show(only ? photos.filter((one) => one.marks.includes(only)) : photos);
  }

  async function load() {
    if (closed) return;
    try {
      const found = await app.api.get("/api/photos", binned ? { label, binned: "1" } : { label });
      if (closed) return;
      const same = JSON.stringify(found.photos) === JSON.stringify(photos);
      photos = found.photos;
      if (only && !photos.some((one) => one.marks.includes(only))) only = "";
      head();
      if (!same || !grid.photos.length) list();
      else tools();
    } catch (error) {
      if (error.status !== 409) return app.showFault(error);
      app.toast(error.message, null, "bad"); // somebody renamed or removed the class
      if (!closed) back();
    }
  }

  async function startCamera(id = null) {
    panel?.stop();
    side.hidden = false;
    viewer.classList.add("with-camera");
    panel = cameraPanel(side, app, { label, uploads, send, id, again: startCamera });
    head();
  }

  function closeCamera() {
    panel?.stop();
    panel = null;
    side.hidden = true;
    viewer.classList.remove("with-camera");
    head();
  }

  function showOthers() {
    others.hidden = !others.hidden;
    if (!others.hidden) fillOthers(others, app, label);
    head();
  }

  // While thousands of photos come, listing them all the time would take the CPU from them.
  const now = soon(load, 300), unhurried = soon(load, 3000);
  const later = () => (uploads.busy > MOST_ON_THEIR_WAY ? unhurried() : now());
  const off = app.onState(() => (later(), others.hidden || showPi(others, app, label)));
  head();
  tools();
  load();
  if (camera && !binned) startCamera();
  heading.focus({ preventScroll: true });
  return () => {
    closed = true;
    off();
    panel?.stop();
    grid.close();
  };
}

/** The camera's picture and the button to hold; returns { stop }. */
function cameraPanel(side, app, { label, uploads, send, id, again }) {
  const S = app.strings.collect;
  let stream = null, stopped = false, timer = null, taken = 0, session = "";
  const video = h("video", { playsinline: true, muted: true, autoplay: true, "aria-label": S.cameraPicture });
  video.muted = true;
  const said = h("p", { class: "muted", role: "status" }, S.cameraStarts);
  const hold = h("button", { type: "button", class: "main hold", id: "hold", disabled: true }, S.hold);
  const fresh = h("button", { type: "button", id: "new-place", disabled: true, onclick: newPlace }, S.newPlace);
  const which = h("select", { "aria-label": S.whichCamera, hidden: true, onchange: () => again(which.value) });
  fill(side, video, h("p", { class: "shots" }, hold, fresh), which, said, h("p", { class: "muted" }, S.placeHint));

  function newPlace() {
    const now = new Date(), two = (n) => String(n).padStart(2, "0");
    session = `session-${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
    taken = 0;
    app.announce(S.newPlaceSaid);
  }

  async function shoot() {
    if (uploads.busy > MOST_ON_THEIR_WAY || video.readyState < 2) return;
    try {
      const file = await takePhoto(video);
      taken++;
      send(label, [{ label, file, name: `${session}-${String(taken).padStart(3, "0")}.jpg` }]);
      said.textContent = count(S.taken, taken);
    } catch (error) {
      app.showFault(error);
    }
  }

  function press(event) {
    event.preventDefault();
    if (timer !== null || hold.disabled) return;
    shoot();
    timer = setInterval(shoot, EVERY_MS);
    hold.setAttribute("aria-pressed", "true");
  }

  function release() {
    clearInterval(timer);
    timer = null;
    hold.setAttribute("aria-pressed", "false");
  }

  hold.onpointerdown = (event) => (hold.setPointerCapture(event.pointerId), hold.focus(), press(event));
  hold.onpointerup = hold.onpointercancel = hold.onblur = release;
  hold.oncontextmenu = (event) => event.preventDefault();
  hold.onkeydown = (event) => (event.key === " " || event.key === "Enter") && (event.repeat ? event.preventDefault() : press(event));
  hold.onkeyup = (event) => (event.key === " " || event.key === "Enter") && release();

  (async () => {
    try {
      stream = await openCamera(id);
      if (stopped) return stopCamera(stream);
      const [track] = stream.getVideoTracks();
      track.onended = () => fail(S.cameraGone);
      video.classList.toggle("mirrored", track.getSettings().facingMode === "user");
      video.srcObject = stream;
      await video.play();
      newPlace();
      hold.disabled = fresh.disabled = false;
      said.textContent = S.holdHint;
      const cameras = await listCameras();
      which.hidden = cameras.length < 2;
      fill(which, ...cameras.map((one, n) => h("option", { value: one.id, selected: one.id === track.getSettings().deviceId }, one.label || say(S.cameraNumber, { n: n + 1 }))));
    } catch (error) {
      if (!stopped) fail(error.message);
    }
  })();

  function fail(text) {
    hold.disabled = fresh.disabled = true;
    release();
    fill(said, h("span", { class: "chip bad" }, S.noCamera), ` ${text} `, h("button", { type: "button", onclick: () => again(id) }, S.tryAgain));
  }

  return {
    stop() {
      stopped = true;
      release();
      stopCamera(stream);
      video.srcObject = null;
    },
  };
}
