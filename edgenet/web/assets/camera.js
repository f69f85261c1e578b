/** The camera, and why there is none: each failure as {title, remedy} for people. */

/** Something that the person at the page can do something about. */
export class Trouble extends Error {
  constructor(title, remedy) {
    super(title);
    this.title = title;
    this.remedy = remedy;
  }
}

const BUSY = ["The camera is busy", "Another app uses it. Close that app, then try again."];
const REASONS = {
  NotAllowedError: ["The camera was not allowed", "Allow it for this page in the browser's settings (the sign beside the address), then try again."],
  NotFoundError: ["There is no camera", "Connect one and try again, or choose a photo below."],
  NotReadableError: BUSY,
  AbortError: BUSY,
};

/**
 * Opens a camera.
 * @param {"environment" | "user"} facing the back or the front one; any where there is no such thing.
 * @throws {Trouble} why there is none.
 */
export async function openCamera(facing) {
  if (!self.isSecureContext || !navigator.mediaDevices) {
    throw new Trouble(
      "This address may not use the camera",
      "Browsers give the camera only to https and to this very device. Open the page through https or http://localhost (a phone: through adb), or choose a photo below.",
    );
  }
  const size = { width: { ideal: 640 }, height: { ideal: 480 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...size, facingMode: { ideal: facing } } });
  } catch (error) {
    const [title, remedy] = REASONS[error.name] || ["The camera does not start", `The browser says: ${error.message || error.name}.`];
    throw new Trouble(title, remedy);
  }
}

/** Whether there is another camera to change to. */
export async function severalCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput").length > 1;
}

/** Calls `seen` with every new frame that the video shows, where the browser tells of them; else as often as it draws. */
export function onEachFrame(video, seen) {
  const next = video.requestVideoFrameCallback
    ? (then) => video.requestVideoFrameCallback(then)
    : (then) => requestAnimationFrame(then);
  const step = () => {
    seen();
    next(step);
  };
  next(step);
}
