/** The picture with its segments: two canvases of the same size, one for the picture and one for all that is drawn on it. */

import { rgbOf } from "./colours.js";
import { byId } from "./elements.js";
import { borderDistances, deepestPlaces, paint, scaleMap } from "./raster.js";
import { areaOf, isShown } from "./segments.js";

const MOST_PIXELS = 1_200_000; // of a canvas, so that a change is drawn in a few hundredths of a second
const SMALLEST_SAVED = 960; // pixels of the longer side of a saved picture
const DARK = 0.45, LIGHT = 0.82; // shares of black in dark labels and outlines, of white in light labels
const PADDING = 0.45, LINE_HEIGHT = 1.5, GAP = 2; // of labels; the first two in their font's size

/**
 * @param {ReturnType<import("./store.js").createStore>} store
 * @param {{pin: (key: string) => void, hide: (key: string) => void, reveal: (number: number) => void}} list
 */
export function createStage(store, list) {
  const { state, set } = store;
  const frame = byId("frame"), below = byId("picture"), above = byId("overlay"), tip = byId("tip");
  let map = null; // the id map at the size of the canvas
  let isWaiting = false;

  function layOut() {
    const { picture } = state;
    map = null;
    if (!picture?.width) return;
    const fit = Math.min(frame.clientWidth / picture.width, frame.clientHeight / picture.height);
    const width = Math.max(1, Math.round(picture.width * fit)), height = Math.max(1, Math.round(picture.height * fit));
    const density = Math.min(devicePixelRatio, Math.sqrt(MOST_PIXELS / (width * height)));
    for (const canvas of [below, above]) {
      canvas.width = Math.round(width * density);
      canvas.height = Math.round(height * density);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    drawPicture(below, picture);
    draw();
  }

  /** Draws the segments now. */
  function draw() {
    const { answer, view } = state;
    const context = above.getContext("2d");
    context.clearRect(0, 0, above.width, above.height);
    above.setAttribute("aria-label", answer?.segments.length ? `Picture with segments: ${namesOf(answer)}` : "Picture");
    if (!answer || !state.picture) return;
    map ??= mapAt(answer, above.width, above.height);
    drawSegments(context, map, state, above.width / above.clientWidth || 1);
  }

  /** Draws before the next frame; a pointer moves more often. */
  function drawSoon() {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      draw();
    });
  }

  /** The segment under the pointer, if it is drawn. */
  function segmentAt(event) {
    const { answer } = state;
    if (!answer) return null;
    const { left, top, width, height } = above.getBoundingClientRect();
    const x = Math.floor(((event.clientX - left) / width) * answer.width);
    const y = Math.floor(((event.clientY - top) / height) * answer.height);
    if (x < 0 || y < 0 || x >= answer.width || y >= answer.height) return null;
    const segment = answer.segments[answer.numbers[y * answer.width + x] - 1];
    return segment && isShown(segment, state) ? segment : null;
  }

  above.addEventListener("pointermove", (event) => {
    const segment = segmentAt(event);
    if ((segment?.number ?? 0) !== state.hovered) set({ hovered: segment?.number ?? 0 });
    tip.hidden = !segment;
    if (!segment) return;
    tip.textContent = `${segment.name}  ${segment.score.toFixed(2)}  ${areaOf(segment, state.answer)}`;
    const { left, top, width } = frame.getBoundingClientRect();
    const x = Math.min(event.clientX - left + 14, width - tip.offsetWidth - 4), y = event.clientY - top + 18;
    tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  });
  above.addEventListener("pointerleave", () => {
    tip.hidden = true;
    set({ hovered: 0 });
  });
  above.addEventListener("click", (event) => {
    const segment = segmentAt(event);
    if (!segment) return set({ pinned: null });
    if (event.shiftKey || event.altKey) return list.hide(segment.key);
    list.pin(segment.key);
    return list.reveal(segment.number);
  });

  store.on(["picture"], layOut);
  store.on(["answer"], () => {
    map = null;
    tip.hidden = true;
    draw();
  });
  store.on(["hovered", "hoveredWord", "pinned", "hidden", "threshold", "view"], drawSoon);
  new ResizeObserver(layOut).observe(frame);

  return {
    /** The picture as it is shown, as a PNG. @returns {Promise<Blob>} */
    save() {
      const { picture, answer } = state;
      const large = Math.max(SMALLEST_SAVED, picture.drawn?.width ?? 0, picture.drawn?.height ?? 0);
      const scale = large / Math.max(picture.width, picture.height);
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      const layer = canvas.cloneNode();
      drawPicture(canvas, picture);
      const wider = canvas.width / above.clientWidth;
      drawSegments(layer.getContext("2d"), mapAt(answer, canvas.width, canvas.height), { ...state, hovered: 0 }, wider);
      canvas.getContext("2d").drawImage(layer, 0, 0);
      return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    },
  };
}

/** The distinct names of an answer's segments, as text. */
export function namesOf({ segments }) {
  return [...new Set(segments.map(({ name }) => name))].join(", ");
}

function drawPicture(canvas, { drawn }) {
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  if (drawn) context.drawImage(drawn, 0, 0, canvas.width, canvas.height);
}

function mapAt(answer, width, height) {
  const numbers = scaleMap(answer, width, height);
  const map = { numbers, distances: borderDistances(numbers, width, height), width, height };
  return { ...map, places: deepestPlaces(map, answer.segments.length) };
}

/** Draws fills, outlines and labels; `density` is pixels of the canvas per pixel of the page. */
function drawSegments(context, map, state, density) {
  const { answer, view, hovered, hoveredWord, pinned } = state;
  const looks = [null, ...answer.segments.map((segment) => {
    if (!isShown(segment, state)) return null;
    const { number, key, name } = segment;
    const rgb = rgbOf(answer.slots.get(name));
    const isLit = number === hovered || key === pinned || name === hoveredWord;
    return { rgb, edge: rgb.map((value) => value * DARK), is_lit: isLit };
  })];
  context.putImageData(paint(map, looks, { opacity: view.opacity, outline: view.outline * density }), 0, 0);
  if (view.labels > 0) drawLabels(context, map, answer.segments, looks, view.labels * density);
}

/** Writes names where segments are widest, large ones first; what would cover another label is left out. */
function drawLabels(context, { places, width, height }, segments, looks, size) {
  context.font = `500 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const taken = [];
  const order = [...segments].sort((a, b) => looks[b.number]?.is_lit - looks[a.number]?.is_lit || b.area - a.area);
  for (const { number, name, score, is_thing: isThing } of order) {
    const look = looks[number], place = places[number];
    if (!look || place.room === 0) continue;
    const text = `${name} ${score.toFixed(2)}`;
    const wide = context.measureText(text).width + 2 * PADDING * size, high = LINE_HEIGHT * size;
    const left = Math.min(Math.max(0, place.x - wide / 2), width - wide);
    const top = Math.min(Math.max(0, place.y - high / 2), height - high);
    const covers = ([x, y, w, h]) => left < x + w + GAP && x < left + wide + GAP && top < y + h + GAP && y < top + high + GAP;
    if (taken.some(covers)) continue;
    taken.push([left, top, wide, high]);
    const light = look.rgb.map((value) => value + (255 - value) * LIGHT), dark = look.rgb.map((value) => value * DARK);
    context.fillStyle = `rgb(${(isThing ? dark : light).join(" ")} / 0.92)`;
    context.beginPath();
    context.roundRect(left, top, wide, high, size * 0.35);
    context.fill();
    context.fillStyle = isThing ? "#fff" : `rgb(${dark.map((value) => value * 0.8).join(" ")})`;
    context.fillText(text, left + PADDING * size, top + high / 2 + size * 0.05);
  }
}
