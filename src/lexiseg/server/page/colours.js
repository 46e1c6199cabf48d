/**
 * Colours of words: those of the overlays that lexiseg draws (inference/palette.py), told apart with deficient colour
 * vision too. A word keeps its colour as long as it is asked, whatever words come and go beside it.
 */

import { digest } from "./blake2b.js";

const USUAL = 40;
const NEAR = 0.05; // OKLab distance from which two soft fills are clearly distinct in all kinds of vision
const PALETTE = [
  "03a599ffacfdb34f29b9de737260bcf29353ac8c00a2a3fb47ebcd5ec782d66773057f97a078d5e48ad1aa4a800ec1e5608de4ffbd95",
  "bc6ebb6da140eecb559055a93086398bc06075e9aaf286b2dca330fa897cd2678c536ac3a65d07d073323bc998af73c951a557a24d91",
  "1299dab0486ed88ee1cfd763825ab4ffb6cbc869a625e9ee06866119c7c099d6fe119fbdb44956c097f7a0e3877c9d3151b7ff737808",
  "9752a09abd53ed87be4584293ba764afb74070c575c26bb063ebb7f7869e90e694919713d56e480b837e6764c0dbd35cfeb3e08482e1",
  "1278b5fec171bbb237cc7822f5905a36ebda80e8a1a74b8752c88b50821caae17fb54b4181c26829a86db34862dd8ddb63a249ee9747",
  "cb689fb770c0f88d67d06793ae497511c4d4febab1ea88c521c9adf98691e9b8ff967cdbd76a5e2bbdf5088847139ccdf486aa97a7fe",
  "e89b3d077ca4d2713bcf91ea13a2af795dbaffb0ed1ea58f8f7eded5677f9b509b607e0f9a650b11847106818ca2900bfeb9bdb15316",
  "44b9fb12a87bd7686b27e7fac2af32fdbf8cb5494e4393e1e3d058817201e39e3723c7b92074bf0cc6cafebca5fdb6d0c08016f6b1fe",
  "067aafc6c8ff10a3a72b97ddb59bfdfeb4d9af5501fa87891383792deae20482850d8753ffb7c4febd9cfdc07e7786e3",].join("").match(/.{6}/g);

const VISIONS = [ // on linear RGB: normal, and three that are deficient (Machado, Oliveira and Fernandes, 2009)
  [1, 0, 0, 0, 1, 0, 0, 0, 1],
  [0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998],
  [0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.01182, 0.04294, 0.968881],
  [1.255528, -0.076749, -0.178779, -0.078411, 0.930809, 0.147602, 0.004733, 0.691367, 0.3039],
];
const RGB_TO_LMS = [
  0.4122214708, 0.5363325363, 0.0514459929, 0.2119034982, 0.6806995451, 0.1073969566, 0.0883024619, 0.2817188376,
  0.6299787005,
];
const LMS_TO_LAB = [
  0.2104542553, 0.793617785, -0.0040720468, 1.9779984951, -2.428592205, 0.4505937099, 0.0259040371, 0.7827717662,
  -0.808675766,
];

const times = (matrix, [x, y, z]) =>
  [0, 3, 6].map((row) => matrix[row] * x + matrix[row + 1] * y + matrix[row + 2] * z);

/** Red, green and blue of a place in the palette, in [0, 255]. */
export function rgbOf(slot) {
  return [0, 2, 4].map((at) => parseInt(PALETTE[slot].slice(at, at + 2), 16));
}

/** A place in the palette as CSS writes it. */
export function cssOf(slot) {
  return `#${PALETTE[slot]}`;
}

/** Each colour as OKLab, in every kind of vision. */
const seen = PALETTE.map((_, slot) => {
  const linear = rgbOf(slot).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return VISIONS.map((vision) => {
    const rgb = times(vision, linear).map((v) => Math.min(1, Math.max(0, v)));
    return times(LMS_TO_LAB, times(RGB_TO_LMS, rgb).map(Math.cbrt));
  });
});

/** How far two colours are apart: the least over kinds of vision, that of normal vision halved. */
function distance(one, other) {
  const [normal, ...deficient] = seen[one].map((lab, vision) =>
    Math.hypot(...lab.map((value, i) => value - seen[other][vision][i])),
  );
  return Math.min(normal / 2, ...deficient);
}

/** The first place from `start` on whose colour is near no taken one; or else the farthest. */
function free(start, taken, size) {
  let best = start, bestRoom = -1;
  for (let step = 0; step < size; step += 1) {
    const slot = (start + step) % size;
    const room = Math.min(...taken.map((other) => distance(slot, other)));
    if (room >= NEAR) return slot;
    if (room > bestRoom) [best, bestRoom] = [slot, room];
  }
  return best;
}

/**
 * Gives a colour to words that have none, in alphabetical order, as overlays do.
 *
 * @param {import("./words.js").Word[]} words
 * @param {Set<string>} shown names in the picture: alone they get one where words are more than there are colours
 * @returns {import("./words.js").Word[]} the same words with their places in the palette
 */
export function withColours(words, shown = new Set()) {
  const size = Math.min(Math.max(USUAL, words.length), PALETTE.length);
  const slots = new Map(words.filter((word) => word.slot !== undefined).map((word) => [word.name, word.slot]));
  const wanted = words.length <= PALETTE.length ? words : words.filter((word) => shown.has(word.name));
  const fresh = wanted.map((word) => word.name).filter((name) => !slots.has(name));
  const taken = [...slots.values()];
  for (const name of fresh.sort((a, b) => (a < b ? -1 : 1))) {
    const slot = free(Number(digest(name) % BigInt(USUAL)), taken, size);
    taken.push(slot);
    slots.set(name, slot);
  }
  return words.map((word) => ({ ...word, slot: slots.get(word.name) }));
}
