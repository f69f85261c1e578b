/**
 * The rule "centre-square" of edgenet_device/preprocess.py, to the last bit: the centred square of the frame, halved first
 * where it is at least three times the network's size, then bilinear to that size.
 *
 * The second step computes what OpenCV's cv2.resize computes for 8 bits, INTER_LINEAR with weights of 11 bits and its two
 * shifts (imgproc/src/resize.cpp), so that the network is given the same pixels here and there.
 */

const HALVE_FROM = 3; // times the network's size; see preprocess.py
const WEIGHT_ONE = 2048;

/** The centred square of a frame: {side, left, top} in pixels. */
export function centreSquare(width, height) {
  const side = Math.min(width, height);
  return { side, left: Math.floor((width - side) / 2), top: Math.floor((height - side) / 2) };
}

/** Turns squares of one fixed side into the network's input; nothing is allocated for a frame. */
export class CentreSquare {
  /**
   * @param {number} side of the square, pixels, at least 1.
   * @param {number} size of the network's square input, pixels.
   */
  constructor(side, size) {
    this.side = side;
    this.size = size;
    this.halves = halvedSides(side, size).map((half) => ({ side: half, rgb: new Uint8Array(half * half * 3) }));
    this.whole = this.halves.length ? null : new Uint8Array(side * side * 3);
    this.linear = new Linear(this.halves.length ? this.halves[this.halves.length - 1].side : side, size);
  }

  /**
   * @param {Uint8ClampedArray} rgba of the square, side * side * 4.
   * @param {Uint8Array} rgb size * size * 3; overwritten.
   */
  write(rgba, rgb) {
    let square = this.whole, from = rgba, channels = 4, side = this.side;
    if (square) dropAlpha(rgba, square);
    for (const half of this.halves) {
      halve(from, channels, side, half.rgb, half.side);
      square = from = half.rgb;
      channels = 3;
      side = half.side;
    }
    this.linear.write(square, rgb);
  }
}

/** The sides that a square of this side is halved to, one after another. */
function halvedSides(side, size) {
  const sides = [];
  let half = side;
  while (side >= HALVE_FROM * size && half >= 2 * size) {
    half = Math.floor(half / 2);
    sides.push(half);
  }
  return sides;
}

/** Means of 2 x 2 pixels; the last row and column of an odd side are left out. */
function halve(from, channels, fromSide, to, side) {
  const below = fromSide * channels;
  for (let y = 0, at = 0; y < side; y++) {
    for (let x = 0, a = 2 * y * below; x < side; x++, a += 2 * channels, at += 3) {
      const b = a + channels, c = a + below, d = c + channels;
      to[at] = (from[a] + from[b] + from[c] + from[d] + 2) >> 2;
      to[at + 1] = (from[a + 1] + from[b + 1] + from[c + 1] + from[d + 1] + 2) >> 2;
      to[at + 2] = (from[a + 2] + from[b + 2] + from[c + 2] + from[d + 2] + 2) >> 2;
    }
  }
}

function dropAlpha(rgba, rgb) {
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
}

/** cv2.INTER_LINEAR from side to size, three channels. */
class Linear {
  constructor(side, size) {
    this.side = side;
    this.size = size;
    this.half = side === 2 * size; // there OpenCV takes the mean of 2 x 2 pixels
    this.axis = linearAxis(side, size);
    this.rows = [new Int32Array(size * 3), new Int32Array(size * 3)];
    this.held = [-1, -1];
  }

  write(from, to) {
    if (this.side === this.size) to.set(from);
    else if (this.half) halve(from, 3, this.side, to, this.size);
    else this.blend(from, to);
  }

  blend(from, to) {
    const { first, weight0, weight1 } = this.axis, width = this.size * 3, last = this.side - 1;
    this.held.fill(-1); // these rows are of another frame
    for (let y = 0, at = 0; y < this.size; y++) {
      // Above the first and below the last row OpenCV takes that row twice, with both weights.
      const upper = this.row(from, Math.max(first[y], 0)), lower = this.row(from, Math.min(first[y] + 1, last));
      const w0 = weight0[y], w1 = weight1[y];
      for (let x = 0; x < width; x++, at++) {
        to[at] = (((w0 * (upper[x] >> 4)) >> 16) + ((w1 * (lower[x] >> 4)) >> 16) + 2) >> 2;
      }
    }
  }

  /** A source row blended along x, as integers of 11 fractional bits; the last two are kept. */
  row(from, y) {
    const slot = y & 1; // the two rows that are blended are neighbours
    const row = this.rows[slot];
    if (this.held[slot] === y) return row;
    this.held[slot] = y;
    const { first, weight0, weight1 } = this.axis, base = y * this.side * 3, last = this.side - 1;
    for (let x = 0, at = 0; x < this.size; x++, at += 3) {
      const left = first[x], outside = left < 0 || left >= last;
      const a = base + 3 * Math.min(Math.max(left, 0), last), b = outside ? a : a + 3;
      const w0 = outside ? WEIGHT_ONE : weight0[x], w1 = outside ? 0 : weight1[x];
      row[at] = from[a] * w0 + from[b] * w1;
      row[at + 1] = from[a + 1] * w0 + from[b + 1] * w1;
      row[at + 2] = from[a + 2] * w0 + from[b + 2] * w1;
    }
    return row;
  }
}

/** For each output pixel the first of its two source pixels, which may lie outside, and both weights. */
function linearAxis(side, size) {
  const first = new Int32Array(size), weight0 = new Int32Array(size), weight1 = new Int32Array(size);
  const scale = 1 / (size / side); // as OpenCV computes it
  for (let i = 0; i < size; i++) {
    const place = Math.fround((i + 0.5) * scale - 0.5);
    first[i] = Math.floor(place);
    const part = Math.fround(place - first[i]);
    weight0[i] = roundHalfEven(Math.fround(1 - part) * WEIGHT_ONE);
    weight1[i] = roundHalfEven(part * WEIGHT_ONE);
  }
  return { first, weight0, weight1 };
}

/** The nearest integer, of two the even one: what OpenCV's cvRound does. */
function roundHalfEven(value) {
  const low = Math.floor(value), rest = value - low;
  if (rest !== 0.5) return Math.floor(value + 0.5);
  return low % 2 === 0 ? low : low + 1;
}
