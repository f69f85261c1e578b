/** The server's routes and its events. An answer that refuses something becomes a `Fault`: what was found, what to do. */

import { S } from "./strings.js";

export class Fault extends Error {
  constructor(found, remedy, status = 0) {
    super(remedy ? `${found}. ${remedy}` : found);
    this.found = found;
    this.remedy = remedy;
    this.status = status;
  }
}

/** Milliseconds to wait before a request is sent again: a browser drops requests when a network comes or goes. */
const WAITS = [200, 1000];

async function send(path, options, again) {
  for (const wait of again ? WAITS : []) {
    try {
      return await fetch(path, options);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  try {
    return await fetch(path, options);
  } catch {
    throw new Fault(S.shell.gone, S.shell.goneRemedy);
  }
}

async function ask(path, options, again = true) {
  const answer = await send(path, options, again);
  const kind = answer.headers.get("content-type") || "";
  const value = kind.includes("json") ? await answer.json() : await answer.text();
  if (answer.ok) return value;
  if (value && value.found) throw new Fault(value.found, value.remedy, answer.status);
  throw new Fault(String(value).slice(0, 300), "", answer.status);
}

export function address(path, params = {}) {
  const query = new URLSearchParams(params).toString();
  return query ? `${path}?${query}` : path;
}

/** @returns {Promise<any>} the JSON of an answer */
export const get = (path, params) => ask(address(path, params));

/** Its id lets the server know a request that it has answered already. */
export const post = (path, value) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Request-Id": `${Date.now()}-${Math.random()}` },
    body: JSON.stringify(value),
  });

/** Sends one photo or zip into a class; `label` "" is for a zip of class folders. */
export const upload = (label, name, blob) =>
  ask(
    address("/api/photos/add", { label, name }),
    { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body: blob },
    false,
  );

/** The address of a photo's thumbnail, or of the photo itself as large as a screen. */
export function picture(photo, large = false) {
  const params = { label: photo.label, name: photo.name };
  if (photo.binned) params.binned = "1";
  if (large) params.large = "1";
  if (photo.version) params.v = photo.version;
  return address("/thumb", params);
}

/** The server's events: `on(kind, told)` returns a function that ends it; kinds are "folder", "job", "open", "gone". */
export class ServerEvents {
  #told = new Map();

  constructor() {
    this.source = new EventSource("/api/events");
    for (const kind of ["folder", "job"]) {
      this.source.addEventListener(kind, (event) => this.#tell(kind, JSON.parse(event.data)));
    }
    this.source.onopen = () => this.#tell("open");
    this.source.onerror = () => this.#tell("gone");
  }

  on(kind, told) {
    if (!this.#told.has(kind)) this.#told.set(kind, new Set());
    this.#told.get(kind).add(told);
    return () => this.#told.get(kind).delete(told);
  }

  #tell(kind, value) {
    for (const told of this.#told.get(kind) || []) told(value);
  }
}
