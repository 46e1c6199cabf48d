/**
 * Pictures that people give.
 *
 * @typedef {object} Picture
 * @property {Blob} blob the file as it was given
 * @property {string} name
 * @property {number} width of the whole picture, upright
 * @property {number} height
 * @property {?HTMLCanvasElement} drawn the picture, made smaller where it is large; null if the browser can't show it
 * @property {?string} handle under which the server keeps it
 */

import { Refusal } from "./api.js";

const LARGEST_DRAWN = 2048; // pixels of the longer side that are kept for drawing

/**
 * Opens a picture.
 *
 * @param {Blob} blob
 * @param {string} name
 * @param {{bytes?: number}} limits of the server
 * @returns {Promise<Picture>}
 * @throws {Refusal} if it is no picture or too large
 */
export async function openPicture(blob, name, { bytes = Infinity }) {
  if (blob.size > bytes) {
    throw new Refusal(`${name} has ${megabytes(blob.size)}, and the server takes ${megabytes(bytes)}: make it smaller.`);
  }
  if (blob.type && !blob.type.startsWith("image/")) {
    throw new Refusal(`${name} is no picture: give a JPEG, a PNG or another kind of picture.`);
  }
  const picture = { blob, name, width: 0, height: 0, drawn: null, handle: null };
  // What a browser can't decode, such as a phone's HEIC, the server may still read.
  const bitmap = await createImageBitmap(blob).catch(() => null);
  if (bitmap === null) return picture;
  const { width, height } = bitmap;
  const scale = Math.min(1, LARGEST_DRAWN / Math.max(width, height));
  const drawn = document.createElement("canvas");
  drawn.width = Math.max(1, Math.round(width * scale));
  drawn.height = Math.max(1, Math.round(height * scale));
  const context = drawn.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, drawn.width, drawn.height);
  bitmap.close();
  return { ...picture, width, height, drawn };
}

function megabytes(bytes) {
  return `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
}

/**
 * Listens for pictures that are chosen, taken with a camera, dropped or pasted.
 *
 * @param {(blob: Blob, name: string) => void} open
 */
export function listenForPictures(open) {
  const give = (files) => {
    const file = [...files].find(({ type }) => type.startsWith("image/")) ?? files[0];
    if (file) open(file, file.name || "the pasted picture");
    return Boolean(file);
  };
  for (const input of document.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      give(input.files);
      input.value = ""; // the same file may be chosen again
    });
  }
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  const out = () => document.body.classList.remove("dropping");
  document.addEventListener("dragenter", over);
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => event.relatedTarget || out());
  document.addEventListener("drop", (event) => {
    out();
    if (give(event.dataTransfer.files)) event.preventDefault();
  });
  document.addEventListener("paste", (event) => {
    const isText = event.target.matches("input") && event.clipboardData.types.includes("text/plain");
    if (event.defaultPrevented || isText) return; // cells of a table come as text and as a picture
    if (give(event.clipboardData.files)) event.preventDefault();
  });
}
