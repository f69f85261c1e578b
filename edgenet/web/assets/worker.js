/**
 * The network's own thread, so that the page stays fluid: "open" a model, classify a "picture", "measure" the latency.
 *
 * A classic worker, for LiteRT.js loads its parts with importScripts, which module workers lack.
 */
"use strict";

const parts = Promise.all([import("./network.js"), import("./preprocess.js"), import("./measure.js")]);
const canvas = new OffscreenCanvas(1, 1);
const pen = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
let network = null, rule = null;

const tasks = { open, picture, measure };

self.onmessage = async ({ data: { task, id, ...given } }) => {
  try {
    const { answer, handed } = await tasks[task](given);
    self.postMessage({ id, answer }, handed || []);
  } catch (error) {
    self.postMessage({ id, error: String((error && error.message) || error) });
  }
};

async function open({ model, threads }) {
  const started = performance.now();
  const [{ loadRuntime, Network }] = await parts;
  const used = await loadRuntime(threads);
  const loaded = performance.now();
  network = await Network.open(new Uint8Array(model), used);
  const compiled = performance.now();
  network.fill();
  (await network.run()).delete();
  const ms = { import: loaded - started, load: compiled - loaded, first_inference: performance.now() - compiled };
  const { size, classes, compiled: { isFullyAccelerated } } = network;
  return { answer: { threads: used, size, classes, delegated: isFullyAccelerated, ms } };
}

/** @param picture an ImageBitmap; it is closed. */
async function picture({ picture }) {
  const [, { CentreSquare, centreSquare }] = await parts;
  const start = performance.now();
  const { side, left, top } = centreSquare(picture.width, picture.height);
  if (!rule || rule.side !== side) {
    rule = new CentreSquare(side, network.size);
    canvas.width = canvas.height = side;
  }
  pen.drawImage(picture, -left, -top);
  picture.close();
  const { data } = pen.getImageData(0, 0, side, side);
  const read = performance.now();
  rule.write(data, network.pixels);
  network.fill();
  const filled = performance.now();
  const output = await network.run();
  const ran = performance.now();
  const scores = output.toTypedArray();
  output.delete();
  const ms = { read: read - start, preprocess: filled - read, inference: ran - filled };
  return { answer: { scores, ms, pixels: network.pixels }, handed: [scores.buffer] };
}

async function measure(protocol) {
  const [, , { measureNetwork }] = await parts;
  return { answer: await measureNetwork(network, protocol) };
}
