// tests/e2e/barcode.mjs - the twin of core/barcode.c, for pixels of a canvas (RGBA).
//
// Self-contained on purpose: the latency harness also runs readBarcode inside the page.

const COLUMNS = 40;

/** Side of a cell in a picture `width` pixels wide: the twin of pc_barcode_cell. */
export function barcodeCell(width) {
  return Math.max(4, (width >> 6) & ~1);
}

/** Reads the top left corner of `rgba`, `width` pixels wide; `cell` is that of the whole picture.
 * `nowMs` completes the 40 bits of time. {frame, utcMs}, or null where sync or CRC do not fit. */
export function readBarcode(rgba, width, height, cell, nowMs) {
  const columns = 40;
  const bitsN = 80;
  if (width < columns * cell || height < 2 * cell) {
    return null;
  }
  const from = cell >> 2;
  const to = cell - from;
  const means = new Array(bitsN);
  for (let i = 0; i < bitsN; i++) {
    const left = (i % columns) * cell;
    const top = i < columns ? 0 : cell;
    let sum = 0;
    for (let y = top + from; y < top + to; y++) {
      for (let x = left + from; x < left + to; x++) {
        sum += rgba[(y * width + x) * 4 + 1]; // grey: green is as good as luma
      }
    }
    means[i] = sum / ((to - from) * (to - from));
  }
  const least = Math.min(...means);
  const most = Math.max(...means);
  if (most - least < 32) {
    return null;
  }
  const bits = means.map((mean) => (2 * mean > least + most ? 1 : 0));
  // Numbers beyond 32 bits: no shifts.
  const number = (at, n) => bits.slice(at, at + n).reduce((value, bit) => value * 2 + bit, 0);
  let crc = 0xfff;
  for (const bit of bits.slice(0, 68)) {
    const out = ((crc >> 11) ^ bit) & 1;
    crc = ((crc << 1) & 0xfff) ^ (out ? 0x80f : 0);
  }
  if (number(0, 4) !== 0xa || number(68, 12) !== crc) {
    return null;
  }
  const wrap = 2 ** 40;
  let utcMs = Math.floor(nowMs / wrap) * wrap + number(28, 40);
  if (utcMs - nowMs > wrap / 2) {
    utcMs -= wrap;
  } else if (nowMs - utcMs > wrap / 2) {
    utcMs += wrap;
  }
  return { frame: number(4, 24), utcMs };
}

/** The twin of pc_barcode_draw, for the twin's own test. */
export function drawBarcode(rgba, width, frame, utcMs) {
  const bitsOf = (value, n) =>
    Array.from({ length: n }, (_, i) => Math.floor(value / 2 ** (n - 1 - i)) % 2);
  const bits = [1, 0, 1, 0, ...bitsOf(frame, 24), ...bitsOf(utcMs % 2 ** 40, 40)];
  let crc = 0xfff;
  for (const bit of bits) {
    const out = ((crc >> 11) ^ bit) & 1;
    crc = ((crc << 1) & 0xfff) ^ (out ? 0x80f : 0);
  }
  bits.push(...bitsOf(crc, 12));
  const cell = barcodeCell(width);
  for (let y = 0; y < 2 * cell; y++) {
    for (let x = 0; x < COLUMNS * cell; x++) {
      const bit = bits[Math.floor(y / cell) * COLUMNS + Math.floor(x / cell)];
      rgba.fill(bit ? 255 : 0, (y * width + x) * 4, (y * width + x) * 4 + 4);
    }
  }
}
