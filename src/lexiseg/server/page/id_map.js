/** Id maps: which segment each pixel belongs to. Their PNG is read here: canvases may change what is read back from them. */

const DEPTH = 3; // bytes of a pixel: 8-bit RGB, not interlaced

/**
 * Decodes an id map: a PNG whose pixel is R + 256 G + 65536 B.
 *
 * @param {string} base64
 * @param {number[]} ids of the segments
 * @returns {Promise<{width: number, height: number, numbers: Uint8Array|Uint16Array}>} for each pixel the place of its
 *   segment among the ids, counted from 1; 0 is void
 */
export async function decodeIdMap(base64, ids) {
  const { width, height, idat } = partsOf(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)));
  const inflated = new Blob(idat).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = new Uint8Array(await new Response(inflated).arrayBuffer());
  const numbers = new (ids.length < 256 ? Uint8Array : Uint16Array)(width * height);
  const numberOf = new Map(ids.map((id, place) => [id, place + 1]));
  const stride = 1 + DEPTH * width; // a row's filter stands before its pixels
  let above = new Uint8Array(stride - 1), last = -1, number = 0;
  for (let y = 0, at = 0; y < height; y += 1) {
    const row = data.subarray(y * stride + 1, (y + 1) * stride);
    unfilter(data[y * stride], row, above);
    for (let i = 0; i < row.length; i += DEPTH, at += 1) {
      const id = row[i] | (row[i + 1] << 8) | (row[i + 2] << 16);
      if (id !== last) [last, number] = [id, numberOf.get(id) ?? 0];
      numbers[at] = number;
    }
    above = row;
  }
  return { width, height, numbers };
}

/** The size of a PNG and the parts of its compressed rows. */
function partsOf(png) {
  const view = new DataView(png.buffer), idat = [];
  for (let at = 8, size; at < png.length; at += 12 + size) { // a chunk: its size, its kind, itself, a checksum
    size = view.getUint32(at);
    if (view.getUint32(at + 4) === 0x49444154) idat.push(png.subarray(at + 8, at + 8 + size)); // IDAT
  }
  return { width: view.getUint32(16), height: view.getUint32(20), idat };
}

/** Undoes the filter of a row, in place: its bytes are differences to those on the left, above, or both (PNG, chapter 9). */
function unfilter(filter, row, above) {
  for (let i = 0; i < DEPTH; i += 1) row[i] += [0, 0, above[i], above[i] >> 1, above[i]][filter]; // nothing is on the left
  if (filter === 1) for (let i = DEPTH; i < row.length; i += 1) row[i] += row[i - DEPTH];
  if (filter === 2) for (let i = DEPTH; i < row.length; i += 1) row[i] += above[i];
  if (filter === 3) for (let i = DEPTH; i < row.length; i += 1) row[i] += (row[i - DEPTH] + above[i]) >> 1;
  if (filter === 4) for (let i = DEPTH; i < row.length; i += 1) row[i] += paeth(row[i - DEPTH], above[i], above[i - DEPTH]);
}

/** Of three bytes the one that is nearest to left + up - corner. */
function paeth(left, up, corner) {
  const toLeft = Math.abs(up - corner), toUp = Math.abs(left - corner), toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}
