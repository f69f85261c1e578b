/** The page's side of the worker: opens the network, and asks it one thing at a time. */

import { Trouble } from "./camera.js";

// (module (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)): valid where there is SIMD.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);

export class Engine {
  /** @throws {Trouble} this browser cannot run it, or the model is not what it should be. */
  static async open(facts) {
    if (typeof WebAssembly !== "object" || !WebAssembly.validate(SIMD) || typeof OffscreenCanvas === "undefined") {
      throw new Trouble("This browser is too old", "It lacks WebAssembly with SIMD. Use Chrome, Edge or Firefox of 2023 or newer, Safari 17 or newer.");
    }
    const engine = new Engine();
    const model = await fetchModel(facts.model);
    // One core is left to the camera and the page: threads that wait for a busy core are slower than one thread.
    const free = (navigator.hardwareConcurrency || 1) - 1;
    const threads = facts.threads || Math.max(1, Math.min(4, free));
    try {
      engine.opened = await engine.ask("open", { model, threads }, [model]);
    } catch (error) {
      throw new Trouble("The network does not start", `The runtime says: ${error.message}. Make the bundle again.`);
    }
    engine.opened.ms.total = performance.now(); // since the page was opened
    if (engine.opened.classes !== facts.labels.length) {
      throw new Trouble("The labels do not fit", `The network has ${engine.opened.classes} outputs and there are ${facts.labels.length} labels. Make the bundle again.`);
    }
    return engine;
  }

  constructor() {
    this.worker = new Worker(new URL("./worker.js", import.meta.url));
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      data.error === undefined ? resolve(data.answer) : reject(new Error(data.error));
    };
    this.worker.onerror = (event) => {
      const error = new Error(event.message || "the worker did not load");
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
  }

  get busy() {
    return this.waiting.size > 0;
  }

  ask(task, given, handed = []) {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ task, id, ...given }, handed);
    });
  }

  /** Scores of a picture (an ImageBitmap, which it takes), and where the time went. */
  classify(picture) {
    return this.ask("picture", { picture }, [picture]);
  }

  measure(protocol) {
    return this.ask("measure", protocol);
  }
}

async function fetchModel({ file, sha256 }) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Trouble("The model is missing", `The server answers ${answer.status} for ${file}. Serve the page again.`);
  const bytes = await answer.arrayBuffer();
  const again = "Serve or export the page again.";
  if (self.crypto.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (found !== sha256) throw new Trouble("The model is damaged", `Its checksum is not the bundle's. ${again}`);
  }
  return bytes;
}
