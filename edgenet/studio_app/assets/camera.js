/** The computer's or phone's camera, and in words what keeps it from coming. */

import { S } from "./strings.js";

export class CameraFault extends Error {
  constructor([title, remedy]) {
    super(`${title}. ${remedy}`);
    this.title = title;
    this.remedy = remedy;
  }
}

/** Opens a camera: that of `id`, or else the one that looks away from the user, if there are two. */
export async function openCamera(id = null) {
  if (!navigator.mediaDevices?.getUserMedia) throw new CameraFault(window.isSecureContext ? S.camera.unable : S.camera.insecure);
  const which = id ? { deviceId: { exact: id } } : { facingMode: "environment" };
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { ...which, width: { ideal: 1280 }, height: { ideal: 960 } }, audio: false });
  } catch (error) {
    throw new CameraFault(fault(error.name));
  }
}

function fault(name) {
  if (name === "NotAllowedError" || name === "SecurityError") return S.camera.refused;
  if (name === "NotFoundError" || name === "OverconstrainedError") return S.camera.none;
  if (name === "NotReadableError" || name === "AbortError") return S.camera.taken;
  return S.camera.unable;
}

/** The cameras as [{ id, label }]; their names are known once one of them was allowed. */
export async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((one) => one.kind === "videoinput").map((one) => ({ id: one.deviceId, label: one.label }));
}

export function stopCamera(stream) {
  for (const track of stream ? stream.getTracks() : []) track.stop();
}

/** The picture that a video shows now, as a JPEG, not mirrored. */
export function takePhoto(video, quality = 0.92) {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((done, failed) => canvas.toBlob((blob) => (blob ? done(blob) : failed(new CameraFault(S.camera.unable))), "image/jpeg", quality));
}
