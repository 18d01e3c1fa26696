/** CRC-32 as zlib computes it, four bytes at a time. */
const tables = Array.from({ length: 4 }, () => new Uint32Array(256));
for (let byte = 0; byte < 256; byte += 1) {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  tables[0][byte] = crc;
}
for (let table = 1; table < 4; table += 1) {
  for (let byte = 0; byte < 256; byte += 1) {
    const crc = tables[table - 1][byte];
    tables[table][byte] = tables[0][crc & 0xff] ^ (crc >>> 8);
  }
}
const [t0, t1, t2, t3] = tables;

/**
 * @param {ArrayBuffer} data
 * @param {number} previous the checksum of what came before
 */
export function crc32(data, previous = 0) {
  const whole = data.byteLength >>> 2;
  const words = new Uint32Array(data, 0, whole);
  let crc = ~previous;
  // The words of every machine that runs a browser are little-endian.
  for (let index = 0; index < whole; index += 1) {
    crc ^= words[index];
    crc = t3[crc & 0xff] ^ t2[(crc >>> 8) & 0xff] ^ t1[(crc >>> 16) & 0xff] ^ t0[crc >>> 24];
  }
  for (const byte of new Uint8Array(data, whole * 4)) crc = t0[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
