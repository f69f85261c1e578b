/** Files on their way to the server: what was dropped, folders included, a few at a time. */

import { upload } from "./api.js";

const AT_ONCE = 4;
const ZIP = /\.zip$/i;
const REFUSED = 409; // the server says that this file is no photo; others may be

/** Everything that was dropped or chosen, as [{ label, file }]; "" where nothing names a class.
 *  Files of a folder belong to the class of the folder's name. */
export async function dropped(transfer, label = "") {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ label, file }));
  const found = [];
  for (const entry of entries) await collect(entry, label, label, found);
  return found;
}

async function collect(entry, label, fixed, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    found.push({ label, file });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return;
    for (const inner of some) await collect(inner, fixed || entry.name, fixed, found);
  }
}

/** A queue of files. It stops when the server is away or cannot write, and goes on when it is told to: nothing is lost. */
export class Uploads {
  #waiting = [];
  #running = 0;
  #told = () => {};

  constructor() {
    this.#reset();
  }

  #reset() {
    this.state = { done: 0, total: 0, added: 0, there: 0, refused: [], fault: null };
  }

  /** How many files are on their way or wait for it. */
  get busy() {
    return this.#running + this.#waiting.length;
  }

  /** Calls `told(state)` from now on whenever the state changes. */
  tell(told) {
    this.#told = told;
  }

  add(files) {
    if (!this.busy) this.#reset();
    for (const one of files) this.#waiting.push(one);
    this.state.total += files.length;
    this.goOn();
  }

  stop() {
    this.state.total -= this.#waiting.length;
    this.#waiting = [];
    this.#told();
  }

  /** Sends what waits; tries again what a fault has stopped. */
  goOn() {
    this.state.fault = null;
    for (let n = this.#running; n < AT_ONCE; n++) this.#next();
    this.#told();
  }

  async #next() {
    if (this.state.fault || !this.#waiting.length) return;
    const one = this.#waiting.shift(), name = one.name || one.file.name;
    this.#running++;
    try {
      const taken = await upload(ZIP.test(name) && one.loose ? "" : one.label, name, one.file);
      this.state.added += taken.added.length;
      this.state.there += taken.there.length;
      this.state.refused.push(...taken.refused);
      this.state.done++;
    } catch (error) {
      if (error.status === REFUSED) {
        this.state.refused.push({ name, reason: error.message });
        this.state.done++;
      } else {
        this.#waiting.unshift(one); // the server is away, or cannot write: the rest would fare no better
        this.state.fault = error;
      }
    }
    this.#running--;
    this.#told();
    this.#next();
  }
}
