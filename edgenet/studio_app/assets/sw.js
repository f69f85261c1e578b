/**
 * Says in words what is wrong when the studio, installed as an app, is opened while its server does not run. Nothing else of
 * the studio is kept: its photos and classifiers are the server's.
 */
"use strict";

const CACHE = "edgenet studio", KEPT = ["/away.html", "/style.css"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT.map((path) => new Request(path, { cache: "no-store" })))).then(() => self.skipWaiting()));
});
self.addEventListener("fetch", (event) => {
  const { request } = event, { pathname } = new URL(request.url);
  if (request.mode === "navigate") event.respondWith(fetch(request).catch(() => caches.match("/away.html")));
  else if (KEPT.includes(pathname)) event.respondWith(fetch(request).catch(() => caches.match(pathname)));
});
