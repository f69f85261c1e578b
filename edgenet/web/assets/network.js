/** A network in LiteRT.js: pixels in, scores out, and nothing allocated for a frame but what the runtime allocates itself. */

import * as litert from "./litert/index.js";

const LITERT = new URL("./litert/", import.meta.url).href;

/** Loads the runtime, with threads where the page may have them; returns the number of threads. */
export async function loadRuntime(threads) {
  // LiteRT.js would ask for a graphics card that nothing here uses; without the question it starts sooner.
  Object.defineProperty(navigator, "gpu", { value: undefined });
  // It would start a worker for every core, whatever the number of threads.
  Object.defineProperty(navigator, "hardwareConcurrency", { value: threads });
  // Its files lie beside it, not beside the script of this worker.
  self.Module = { locateFile: (name) => LITERT + name, mainScriptUrlOrBlob: `${LITERT}litert_wasm_threaded_internal.js` };
  const many = threads > 1 && self.crossOriginIsolated && (await litert.supportsFeature("relaxedSimd"));
  const warn = console.warn;
  console.warn = () => {}; // it complains about the missing graphics card
  try {
    await litert.loadLiteRt(LITERT, { threads: many });
  } finally {
    console.warn = warn;
  }
  return many ? threads : 1;
}

export class Network {
  /** @param {Uint8Array} model a .tflite with one uint8 RGB picture in and float32 scores out. */
  static async open(model, threads) {
    const compiled = await litert.loadAndCompile(model, { accelerator: "wasm", cpuOptions: { numThreads: threads } });
    return new Network(compiled);
  }

  constructor(compiled) {
    const [input] = compiled.getInputDetails(), [output] = compiled.getOutputDetails();
    if (input.dtype !== "uint8" || input.shape.length !== 4 || input.shape[1] !== input.shape[2] || input.shape[3] !== 3) {
      throw new Error(`the network takes ${input.dtype} [${input.shape}], not uint8 [1,H,H,3]`);
    }
    this.compiled = compiled;
    this.size = input.shape[1];
    this.classes = output.shape[output.shape.length - 1];
    this.pixels = new Uint8Array(this.size * this.size * 3);
    this.input = new litert.Tensor(this.pixels, Array.from(input.shape));
  }

  /** Copies `pixels` into the network's input. */
  fill() {
    const wasm = litert.getGlobalLiteRt().liteRtWasm, buffer = this.input.liteRtTensorBuffer;
    const at = buffer.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
    wasm.HEAPU8.set(this.pixels, at);
    buffer.unlock();
  }

  /** Runs it once on what was filled in; the caller deletes what comes back. */
  async run() {
    const [scores] = await this.compiled.run([this.input]);
    return scores;
  }
}
