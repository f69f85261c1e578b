/** The copy of the page that stays on the device: made, brought up to date, and installed as an app. */

const PATIENCE_MS = 2000; // a page shall open soon where the network is there but does not answer
const workers = navigator.serviceWorker; // undefined where the page is not secure

/**
 * Looks whether the server has another version than the copy that is open. If so, it is brought and opened instead.
 * @param {() => void} coming called when there is one.
 */
export async function openNewest(coming) {
  if (!workers || !workers.controller) return; // the page came from the server
  workers.addEventListener("controllerchange", () => location.reload());
  const registration = await workers.getRegistration();
  const late = new Promise((then) => setTimeout(then, PATIENCE_MS));
  await Promise.race([registration.update().catch(() => {}), late]);
  const next = registration.installing || registration.waiting;
  if (!next) return;
  coming();
  if (await settled(next)) await new Promise(() => {}); // the page is loaded again at any moment
}

/** Keeps a copy of the page on the device; true if it is there. */
export async function keepCopy() {
  if (!workers) return false;
  try {
    const registration = await workers.register("service-worker.js", { updateViaCache: "none" });
    const made = registration.installing || registration.waiting;
    return made ? await settled(made) : true;
  } catch {
    return Boolean(workers.controller); // the server is away, and the copy is here
  }
}

/** Whether a service worker took over (true) or failed (false), once it has. */
function settled(worker) {
  return new Promise((then) => {
    const look = () => {
      if (worker.state === "activated") then(true);
      if (worker.state === "redundant") then(false);
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/** Lets the browser install the page as an app, and shows a button while it offers that. */
export function offerInstallation(button) {
  const manifest = document.createElement("link");
  Object.assign(manifest, { rel: "manifest", href: "manifest.webmanifest", crossOrigin: "use-credentials" });
  document.head.append(manifest);
  let offer = null;
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    offer = event;
    button.hidden = false;
  });
  window.addEventListener("appinstalled", () => {
    button.hidden = true;
    if (navigator.storage && navigator.storage.persist) navigator.storage.persist(); // a full device shall drop others first
  });
  button.onclick = () => {
    offer.prompt(); // an offer can be used once
    button.hidden = true;
  };
}
