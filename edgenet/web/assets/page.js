/** The page: camera or photo in, labels and speed out. Labels are text, never HTML. */

import { onEachFrame, openCamera, severalCameras, Trouble } from "./camera.js";
import { Engine } from "./engine.js";
import { keepCopy, offerInstallation, openNewest } from "./offline.js";
import { latencyReport, send } from "./report.js";
import { percentile, Recent, Smoother, SteadyAnswer, topK } from "./seeing.js";
import { showAnswer, showFigures, showKept, showTrouble, showUpdating, hideTrouble, showModel } from "./showing.js";

const at = (id) => document.getElementById(id);
const video = at("video");
const EYES_MS = 100; // eyes want no more, and drawing takes time from the network
const figures = { ends: new Recent(60), inference: new Recent(300) };
let facts = null, engine = null, smoother = null, steady = null;
let shown = 0, looking = false, missed = false;
let facing = "environment", stream = null, paused = false;
let broken = false; // no network will come: what the camera says afterwards matters no more

async function start() {
  try {
    await openNewest(showUpdating);
    facts = await (await fetch("page.json")).json();
    document.title = `${facts.name} · edgenet`;
    smoother = new Smoother(facts.half_life_s);
    steady = new SteadyAnswer(facts.labels, facts.threshold, facts.half_life_s);
    // The camera asks for permission while the network loads; a measurement needs none.
    const camera = facts.at_once ? null : watch();
    engine = await Engine.open(facts);
    showModel(facts, engine.opened);
    at("measure").disabled = at("file").disabled = false;
    document.dispatchEvent(new CustomEvent("edgenet:ready"));
    if (facts.offline) stay();
    if (facts.at_once) await measure();
    await camera;
  } catch (error) {
    broken = true;
    stop();
    tell(error);
  }
}

/** The page stays on the device: from now on it opens without its server. */
async function stay() {
  offerInstallation(at("install"));
  showKept(await keepCopy());
}

function tell(error) {
  const trouble = error instanceof Trouble ? error : new Trouble("Something went wrong", String(error.message || error));
  showTrouble(trouble);
  // The host waits for a measurement: it shall hear why none comes.
  if (facts && facts.at_once) send({ trouble: `${trouble.title}. ${trouble.remedy}` });
}

/** Opens the camera and shows it; its frames are classified as soon as there is a network. */
async function watch() {
  try {
    stop();
    stream = await openCamera(facing);
    if (broken) return stop();
    hideTrouble();
    const [track] = stream.getVideoTracks();
    track.onended = () => tell(new Trouble("The camera is gone", "It was unplugged or taken away. Connect it, then try again."));
    const settings = track.getSettings();
    video.classList.toggle("mirrored", settings.facingMode === "user");
    video.srcObject = stream;
    showPhoto(null);
    smoother.forget();
    steady.forget();
    await video.play();
    at("turn").hidden = !(await severalCameras());
  } catch (error) {
    if (!broken) tell(error);
  }
}

function stop() {
  for (const track of stream ? stream.getTracks() : []) track.stop();
  stream = null;
}

/** The newest frame wins: of those that come while the network is busy it gets the last one afterwards. */
async function frame() {
  if (!engine || paused || !stream || video.readyState < 2 || !at("photo").hidden) return;
  missed = looking || engine.busy;
  if (missed) return;
  looking = true;
  try {
    const seen = await engine.classify(await createImageBitmap(video));
    if (at("photo").hidden) show(seen, smoother.update(seen.scores, performance.now() / 1000));
  } catch (error) {
    tell(error);
  }
  looking = false;
  if (missed) frame();
}

function show(seen, scores) {
  const now = performance.now();
  figures.inference.add(seen.ms.inference);
  figures.ends.add(now);
  document.dispatchEvent(new CustomEvent("edgenet:seen", { detail: seen }));
  const answer = steady.update(scores, now / 1000);
  if (now - shown < EYES_MS) return;
  shown = now;
  showAnswer(answer, topK(scores, facts.top), facts.labels);
  const { values } = figures.ends, span = values[values.length - 1] - values[0];
  const { values: ms } = figures.inference;
  showFigures(span > 0 ? ((values.length - 1) / span) * 1000 : null, percentile(ms, 50), percentile(ms, 90));
}

/** A photo instead of the camera, as it is stored: no colour profile is applied, as on the other devices. */
async function choosePhoto(file) {
  try {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    showPhoto(file);
    while (engine.busy) await new Promise((then) => setTimeout(then, 5));
    const seen = await engine.classify(bitmap);
    hideTrouble();
    const answer = new SteadyAnswer(facts.labels, facts.threshold, 0).update(seen.scores, 0);
    showAnswer(answer, topK(seen.scores, facts.top), facts.labels);
    document.dispatchEvent(new CustomEvent("edgenet:photo", { detail: seen }));
  } catch {
    tell(new Trouble("This photo cannot be read", "Choose a JPEG, PNG or WebP file."));
  }
}

function showPhoto(file) {
  const photo = at("photo");
  if (photo.src) URL.revokeObjectURL(photo.src);
  photo.hidden = video.hidden = false;
  if (file) photo.src = URL.createObjectURL(file);
  else photo.removeAttribute("src");
  photo.hidden = !file;
  video.hidden = Boolean(file);
}

/** Measures alone: the camera's frames wait meanwhile. */
async function measure() {
  const button = at("measure"), said = button.textContent;
  paused = button.disabled = true;
  button.textContent = "measuring";
  try {
    while (engine.busy) await new Promise((then) => setTimeout(then, 5));
    const measured = await engine.measure(facts.measuring);
    const ms = measured.samples_ns.map((ns) => ns / 1e6);
    showFigures(null, percentile(ms, 50), percentile(ms, 90));
    const report = await latencyReport(engine, measured);
    const sent = facts.takes_reports && (await send(report));
    at("answer").textContent = `${percentile(ms, 50).toFixed(2)} ms for one picture${sent ? "; the report is with the host" : ""}`;
    document.dispatchEvent(new CustomEvent("edgenet:measured", { detail: report }));
  } catch (error) {
    tell(error);
  }
  button.textContent = said;
  paused = button.disabled = false;
}

at("turn").onclick = () => {
  facing = facing === "environment" ? "user" : "environment";
  watch();
};
at("again").onclick = () => (engine ? watch() : location.reload());
at("measure").onclick = measure;
at("file").onchange = ({ target }) => target.files.length && choosePhoto(target.files[0]);
at("photo").onclick = () => watch();
onEachFrame(video, frame);
start();
