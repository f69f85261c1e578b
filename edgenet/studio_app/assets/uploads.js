/** Files on their way to the server: what was dropped, folders included, a few at a time. */

import { upload } from "./api.js";

const AT_ONCE = 4;
const ZIP = /\.zip$/i;

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

/** A queue of files. `told({ done, total, added, refused, fault })` is called as it goes on. */
export class Uploads {
  #waiting = [];
  #running = 0;

  constructor(told) {
    this.told = told;
    this.#reset();
  }

  #reset() {
    this.state = { done: 0, total: 0, added: 0, refused: [], fault: null };
  }

  get busy() {
    return this.#running + this.#waiting.length;
  }

  add(files) {
    if (!this.busy) this.#reset();
    for (const one of files) this.#waiting.push(one);
    this.state.total += files.length;
    for (let n = this.#running; n < AT_ONCE; n++) this.#next();
    this.told(this.state);
  }

  stop() {
    this.state.total -= this.#waiting.length;
    this.#waiting = [];
    this.told(this.state);
  }

  async #next() {
    const one = this.#waiting.shift();
    if (!one) return;
    this.#running++;
    try {
      const name = one.name || one.file.name;
      const taken = await upload(ZIP.test(name) && one.loose ? "" : one.label, name, one.file);
      this.state.added += taken.added.length;
      this.state.refused.push(...taken.refused);
    } catch (error) {
      if (error.status === 409 && !/full|write/.test(error.found)) this.state.refused.push({ name: one.name || one.file.name, reason: error.message });
      else {
        this.state.fault = error; // the server is away, or the disk is full: the rest would fare no better
        this.state.total -= this.#waiting.length;
        this.#waiting = [];
      }
    }
    this.#running--;
    this.state.done++;
    this.told(this.state);
    this.#next();
  }
}
