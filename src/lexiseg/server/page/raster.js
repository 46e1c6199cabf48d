/** Segments as pixels: the id map at the size of a drawing, distances to borders, fills, outlines, and places of labels. */

const STRAIGHT = 3, SLANTED = 4, FAR = 0xfff0; // lengths of steps, in thirds of a pixel (chamfer distance)
const HIGHLIGHT = 1.5, RETREAT = 0.35; // factors on the opacity of what is looked at, and of all else
const GRID = 3; // pixels between places that a label may take

/**
 * Scales an id map: to the nearest pixel where it shrinks, with smooth borders where it grows.
 *
 * @returns {Uint8Array|Uint16Array} numbers of segments, `width` times `height`
 */
export function scaleMap(from, width, height) {
  const { numbers } = from;
  const scaled = new numbers.constructor(width * height);
  const columns = axis(from.width, width), rows = axis(from.height, height);
  const isBorder = width > from.width ? borderPixels(from) : null;
  for (let y = 0, at = 0; y < height; y += 1) {
    const row = rows.places[3 * y + 1] * from.width;
    for (let x = 0; x < width; x += 1, at += 1) {
      const source = row + columns.places[3 * x + 1];
      scaled[at] = isBorder?.[source] ? elected(from, columns, x, rows, y) : numbers[source];
    }
  }
  return scaled;
}

/** Whether one of the eight pixels around a pixel belongs to another segment. */
function borderPixels({ numbers, width, height }) {
  const isBorder = new Uint8Array(numbers.length);
  const mark = (i, j) => {
    if (numbers[i] !== numbers[j]) isBorder[i] = isBorder[j] = 1;
  };
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (x + 1 < width) mark(i, i + 1);
      if (y + 1 === height) continue;
      mark(i, i + width);
      if (x > 0) mark(i, i + width - 1);
      if (x + 1 < width) mark(i, i + width + 1);
    }
  }
  return isBorder;
}

/** The number for which most of the nine source pixels around a target pixel are, each with its weight. */
function elected({ numbers, width }, columns, x, rows, y) {
  const votes = new Map();
  let best = 0, most = 0;
  for (let i = 3 * y; i < 3 * y + 3; i += 1) {
    for (let j = 3 * x; j < 3 * x + 3; j += 1) {
      const number = numbers[rows.places[i] * width + columns.places[j]];
      const vote = (votes.get(number) ?? 0) + rows.weights[i] * columns.weights[j];
      votes.set(number, vote);
      if (vote > most) [best, most] = [number, vote];
    }
  }
  return best;
}

/** The three source pixels around each target pixel of an axis, with the weights of a quadratic spline. */
function axis(from, to) {
  const places = new Int32Array(3 * to), weights = new Float32Array(3 * to);
  for (let i = 0; i < to; i += 1) {
    const centre = ((i + 0.5) * from) / to - 0.5, nearest = Math.round(centre), off = centre - nearest;
    places.set([nearest - 1, nearest, nearest + 1].map((place) => Math.min(from - 1, Math.max(0, place))), 3 * i);
    weights.set([(0.5 - off) ** 2 / 2, 0.75 - off ** 2, (0.5 + off) ** 2 / 2], 3 * i);
  }
  return { places, weights };
}

/**
 * Each pixel's distance to the next pixel of another segment, in thirds of a pixel; the picture's edge is no border.
 *
 * Two sweeps over a map with a margin, forwards and backwards, as chamfer distances are found.
 */
export function borderDistances(numbers, width, height) {
  const wide = width + 2;
  const distances = new Uint16Array(wide * (height + 2)).fill(FAR), owners = new Uint16Array(distances.length);
  for (let y = -1; y <= height; y += 1) { // the margin continues the segments at the edge
    const row = Math.min(height - 1, Math.max(0, y)) * width, start = (y + 1) * wide;
    owners.set(numbers.subarray(row, row + width), start + 1);
    owners[start] = numbers[row];
    owners[start + wide - 1] = numbers[row + width - 1];
  }
  for (const step of [1, -1]) {
    const [straight, above, before, after] = [step, step * wide, step * (wide + 1), step * (wide - 1)];
    for (let y = step > 0 ? 1 : height; y >= 1 && y <= height; y += step) {
      let i = y * wide + (step > 0 ? 1 : width);
      for (let x = 0; x < width; x += 1, i += step) {
        const own = owners[i];
        let nearest = distances[i];
        nearest = Math.min(nearest, STRAIGHT + (owners[i - straight] === own ? distances[i - straight] : 0));
        nearest = Math.min(nearest, STRAIGHT + (owners[i - above] === own ? distances[i - above] : 0));
        nearest = Math.min(nearest, SLANTED + (owners[i - before] === own ? distances[i - before] : 0));
        nearest = Math.min(nearest, SLANTED + (owners[i - after] === own ? distances[i - after] : 0));
        distances[i] = nearest;
      }
    }
  }
  const inside = new Uint16Array(numbers.length);
  for (let y = 0; y < height; y += 1) inside.set(distances.subarray((y + 1) * wide + 1, (y + 2) * wide - 1), y * width);
  return inside;
}

/**
 * Paints fills and outlines.
 *
 * @param {{numbers: Uint8Array|Uint16Array, distances: Uint16Array, width: number, height: number}} map
 * @param {Array<?{rgb: number[], edge: number[], is_lit: boolean}>} looks of each number; null is not drawn
 * @param {{opacity: number, outline: number}} view opacity in [0, 1], outline in pixels of the map
 * @returns {ImageData}
 */
export function paint({ numbers, distances, width, height }, looks, { opacity, outline }) {
  const anyLit = looks.some((look) => look?.is_lit);
  const fills = new Uint32Array(looks.length), edges = new Uint32Array(looks.length);
  looks.forEach((look, number) => {
    if (!look) return;
    const factor = !anyLit ? 1 : look.is_lit ? HIGHLIGHT : RETREAT;
    fills[number] = pixel(look.rgb, Math.min(0.92, opacity * factor));
    edges[number] = pixel(look.edge, anyLit && !look.is_lit ? 0.45 : 0.95);
  });
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const reach = outline * STRAIGHT;
  for (let i = 0; i < pixels.length; i += 1) {
    const number = numbers[i];
    pixels[i] = distances[i] <= reach ? edges[number] : fills[number];
  }
  return image;
}

function pixel([red, green, blue], alpha) {
  return ((Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * The place of each segment that is farthest from its border and from the picture's edge.
 *
 * @param {number} count of segments
 * @returns {Array<{x: number, y: number, room: number}>} by number; room is in pixels, 0 where a segment has no pixel
 */
export function deepestPlaces({ numbers, distances, width, height }, count) {
  const places = Array.from({ length: count + 1 }, () => ({ x: 0, y: 0, room: 0 }));
  for (let y = 0; y < height; y += GRID) {
    for (let x = 0; x < width; x += GRID) {
      const at = y * width + x, place = places[numbers[at]];
      const room = Math.min(distances[at] / STRAIGHT, x + 1, y + 1, width - x, height - y);
      if (room > place.room) Object.assign(place, { x, y, room });
    }
  }
  return places;
}
