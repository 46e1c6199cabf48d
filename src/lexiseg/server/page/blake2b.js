/** BLAKE2b (RFC 7693) with a digest of eight bytes: the hash by which overlays choose the colour of a name. */

const START = [
  0x6a09e667f3bcc908n, 0xbb67ae8584caa73bn, 0x3c6ef372fe94f82bn, 0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n, 0x9b05688c2b3e6c1fn, 0x1f83d9abfb41bd6bn, 0x5be0cd19137e2179n,
];
const ORDER = [
  "0123456789abcdef", "ea489fd61c02b753", "b8c052fdae367194", "7931dcbe265a40f8", "905724afe1bc683d",
  "2c6a0b834d75fe19", "c51fed4a0763928b", "db7ec13950f4862a", "6fe9b308c2d714a5", "a2847615fb9e3cd0",
].map((row) => [...row].map((digit) => parseInt(digit, 16)));
const QUARTERS = [
  [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
  [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
];
const ROUNDS = 12, BLOCK = 128, DIGEST = 8;

const u64 = (value) => BigInt.asUintN(64, value);
const turn = (value, bits) => u64((value >> bits) | (value << (64n - bits)));

/** The digest of a text's UTF-8, as a number whose first byte is the highest. @returns {bigint} */
export function digest(text) {
  const bytes = new TextEncoder().encode(text);
  const h = [...START];
  h[0] ^= 0x01010000n ^ BigInt(DIGEST);
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK));
  for (let block = 0; block < blocks; block += 1) {
    const padded = new Uint8Array(BLOCK);
    padded.set(bytes.subarray(block * BLOCK, (block + 1) * BLOCK));
    const message = new BigUint64Array(padded.buffer);
    const v = [...h, ...START];
    v[12] ^= BigInt(Math.min((block + 1) * BLOCK, bytes.length));
    if (block === blocks - 1) v[14] = u64(~v[14]);
    for (let round = 0; round < ROUNDS; round += 1) mix(v, message, ORDER[round % ORDER.length]);
    for (let i = 0; i < 8; i += 1) h[i] ^= v[i] ^ v[i + 8];
  }
  const view = new DataView(new ArrayBuffer(DIGEST));
  view.setBigUint64(0, h[0], true);
  return view.getBigUint64(0, false);
}

function mix(v, message, order) {
  QUARTERS.forEach(([a, b, c, d], i) => {
    v[a] = u64(v[a] + v[b] + message[order[2 * i]]);
    v[d] = turn(v[d] ^ v[a], 32n);
    v[c] = u64(v[c] + v[d]);
    v[b] = turn(v[b] ^ v[c], 24n);
    v[a] = u64(v[a] + v[b] + message[order[2 * i + 1]]);
    v[d] = turn(v[d] ^ v[a], 16n);
    v[c] = u64(v[c] + v[d]);
    v[b] = turn(v[b] ^ v[c], 63n);
  });
}
