/**
 * Keeps every file of the page on the device, so that the page opens without its server and without a network.
 *
 * edgenet writes the list KEPT above this text: {path: SHA-256}. The cache holds each file under its SHA-256. So a
 * new version brings only the files that have changed, and no version ever shows a file of another one.
 */
"use strict";

const OURS = 'content="edgenet camera page"'; // stands in index.html of every version
const PATIENCE_MS = 2000;
const ROOT = self.registration.scope;
const CACHE = `edgenet ${ROOT}`; // pages in other folders of this address have caches of their own
const keyOf = (sha256) => `${ROOT}kept/${sha256}`;
// Some servers do not send these two headers, without which browsers allow WebAssembly no threads.
const ISOLATING = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

self.addEventListener("install", (event) => event.waitUntil(bring().then(() => self.skipWaiting())));
self.addEventListener("activate", (event) => event.waitUntil(dropOthers().then(() => self.clients.claim())));
self.addEventListener("fetch", (event) => {
  const { request } = event, path = pathOf(request.url);
  if (request.method !== "GET" || !Object.hasOwn(KEPT, path)) return;
  event.respondWith(request.mode === "navigate" ? open(path, request) : kept(path, request));
});

/** The path of a file within the page; empty for what lies elsewhere. */
function pathOf(url) {
  const [bare] = url.split(/[?#]/);
  return bare.startsWith(ROOT) ? bare.slice(ROOT.length) || "index.html" : "";
}

/** Brings the files that are not here yet. It fails, and the version that is here stays, unless each is the right one. */
async function bring() {
  const cache = await caches.open(CACHE);
  for (const [path, sha256] of Object.entries(KEPT)) {
    if (await cache.match(keyOf(sha256))) continue;
    const answer = await fetch(ROOT + path, { cache: "no-store" });
    if (!answer.ok) throw new Error(`the server answers ${answer.status} for ${path}`);
    const bytes = await answer.arrayBuffer();
    if ((await sha256Of(bytes)) !== sha256) throw new Error(`${path} is not the file of this version`);
    const headers = new Headers(answer.headers);
    for (const name of ["content-encoding", "content-length"]) headers.delete(name); // they describe the bytes on the way
    for (const [name, value] of Object.entries(ISOLATING)) headers.set(name, value);
    await cache.put(keyOf(sha256), new Response(bytes, { headers }));
  }
}

async function sha256Of(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function dropOthers() {
  const cache = await caches.open(CACHE), ours = new Set(Object.values(KEPT).map(keyOf));
  for (const { url } of await cache.keys()) if (!ours.has(url)) await cache.delete(url);
}

/** The kept file; a browser that is short of space may have dropped it, and then the server is asked. */
async function kept(path, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(keyOf(KEPT[path]))) || fetch(request);
}

/** The page, unless a page of somebody else is served at this address by now. (offline.js looks for newer versions.) */
async function open(path, request) {
  const there = await soon(fetch(request).catch(() => null));
  if (there && there.ok && !(await there.clone().text()).includes(OURS)) return there;
  return kept(path, request);
}

function soon(promise) {
  return Promise.race([promise, new Promise((then) => setTimeout(() => then(null), PATIENCE_MS))]);
}
