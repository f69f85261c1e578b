/** Cameras that are not this machine's: a phone on the cable, a phone in the network, a Raspberry Pi. */

import { fill, h, say } from "./ui.js";

/** Fills the panel; the devices are looked for anew. */
export async function fillOthers(panel, app, label) {
  const S = app.strings.collect;
  const phone = h("section", { class: "step" }, h("h2", {}, S.phone));
  const target = h("input", { type: "text", list: "pi-targets", value: localStorage.getItem("pi") || "", placeholder: "ssh:pi@raspberrypi.local", "aria-label": S.piTarget });
  const targets = h("datalist", { id: "pi-targets" });
  const start = h("button", { type: "submit" }, S.piStart);
  const pi = h("form", { class: "step", onsubmit: (event) => (event.preventDefault(), startPi()) }, h("h2", {}, S.pi), h("p", { class: "muted" }, S.piText), h("p", { class: "row" }, target, targets, start), h("div", { "data-pi": "" }));
  fill(panel, phone, pi);
  showPi(panel, app, label);

  async function startPi() {
    try {
      localStorage.setItem("pi", target.value);
      const job = await app.api.post("/api/cameras/pi", { label, on: target.value.trim() });
      app.state.jobs = { ...app.state.jobs, capture: job };
      showPi(panel, app, label);
    } catch (error) {
      app.showFault(error);
    }
  }

  async function onPhone(on) {
    try {
      await app.api.post("/api/cameras/phone", { on });
      app.toast(S.phoneOpened);
    } catch (error) {
      app.showFault(error);
    }
  }

  try {
    const [{ devices, note }, network] = await Promise.all([app.api.get("/api/devices"), app.api.get("/api/cameras/network")]);
    const phones = devices.filter((one) => one.kind === "adb");
    fill(targets, devices.filter((one) => one.kind === "ssh").map((one) => h("option", { value: one.on })));
    phone.append(
      ...(network.url
        ? [h("p", {}, S.phoneNetwork), qrCode(network.code, say(S.code, { url: network.url })), h("p", { class: "muted" }, h("a", { href: network.url }, network.url))]
        : [
            h("p", { class: "muted" }, S.phoneCableText),
            ...(phones.length ? [h("p", { class: "row" }, phones.map((one) => h("button", { type: "button", onclick: () => onPhone(one.on) }, say(S.phoneCable, { on: one.on }))))] : [h("p", {}, note || S.noPhone)]),
            h("p", { class: "muted" }, S.phoneStart, " ", h("code", {}, "edgenet studio --host 0.0.0.0")),
          ]),
    );
  } catch (error) {
    app.showFault(error);
  }
}

/** Shows what the Pi's camera does, within the panel. */
export function showPi(panel, app, label) {
  const S = app.strings.collect, job = app.state.jobs.capture, place = panel.querySelector("[data-pi]");
  if (!place) return;
  const running = job && job.ended === null;
  const last = job?.lines[job.lines.length - 1];
  fill(
    place,
    running && h("p", { class: "row" }, say(S.piRuns, job.about), h("button", { type: "button", onclick: () => app.api.post("/api/cameras/pi/stop", {}).catch(app.showFault) }, S.piStop)),
    job && last && h("p", { class: "muted", role: "status" }, last),
    job?.state === "failed" && h("p", { class: "note bad", role: "alert" }, job.error),
  );
}

/** Draws a QR code from its rows of 0 and 1, with the four light squares around it that readers need. */
function qrCode(rows, name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const size = rows.length + 8;
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", name);
  svg.setAttribute("class", "code");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", rows.map((row, y) => [...row].map((dark, x) => (dark === "1" ? `M${x + 4} ${y + 4}h1v1h-1z` : "")).join("")).join(""));
  svg.append(path);
  return svg;
}
