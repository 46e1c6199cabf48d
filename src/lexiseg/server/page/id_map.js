/** Id maps: which segment each pixel belongs to. */

const STRIP = 1 << 22; // pixels that are read at once, so that a large picture needs little more than its map

/**
 * Decodes an id map: a PNG whose pixel is R + 256 G + 65536 B.
 *
 * @param {string} base64
 * @param {number[]} ids of the segments
 * @returns {Promise<{width: number, height: number, numbers: Uint8Array|Uint16Array}>} for each pixel the place of its
 *   segment among the ids, counted from 1; 0 is void
 */
export async function decodeIdMap(base64, ids) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const blob = new Blob([bytes], { type: "image/png" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const numbers = new (ids.length < 256 ? Uint8Array : Uint16Array)(width * height);
  const numberOf = new Map(ids.map((id, place) => [id, place + 1]));
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const strip = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  for (let top = 0; top < height; top += rows) {
    strip.drawImage(bitmap, 0, -top);
    const count = Math.min(rows, height - top) * width;
    const pixels = new Uint32Array(strip.getImageData(0, 0, width, rows).data.buffer);
    let last = -1, number = 0;
    for (let i = 0; i < count; i += 1) {
      const id = pixels[i] & 0xffffff; // bytes of a pixel are in the order R, G, B, alpha
      if (id !== last) [last, number] = [id, numberOf.get(id) ?? 0];
      numbers[top * width + i] = number;
    }
  }
  bitmap.close();
  return { width, height, numbers };
}
