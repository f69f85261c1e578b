/**
 * The rule "centre-square" of device_scripts/preprocess.py, to the last bit: the centred square of the frame, area-averaged
 * first where it is at least three times the network's size, then bilinear to that size.
 *
 * Both steps compute what OpenCV's cv2.resize computes for 8 bits: INTER_LINEAR with weights of 11 bits and its two shifts,
 * INTER_AREA in float32 (imgproc/src/resize.cpp), so that the network is given the same pixels here and there.
 */

const AREA_FROM = 3; // times the network's size; see preprocess.py
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
    const factor = Math.floor(side / size);
    this.side = side;
    this.size = size;
    this.middle = factor >= AREA_FROM ? Math.floor(side / factor) : side;
    this.area = this.middle === side ? null : new Area(side, this.middle);
    this.linear = new Linear(this.middle, size);
    this.whole = new Uint8Array(this.middle * this.middle * 3);
  }

  /**
   * @param {Uint8ClampedArray} rgba of the square, side * side * 4.
   * @param {Uint8Array} rgb size * size * 3; overwritten.
   */
  write(rgba, rgb) {
    if (this.area) this.area.write(rgba, this.whole);
    else dropAlpha(rgba, this.whole);
    this.linear.write(this.whole, rgb);
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
    else if (this.half) this.halve(from, to);
    else this.blend(from, to);
  }

  halve(from, to) {
    const width = this.size * 3, stride = this.side * 3;
    for (let y = 0, at = 0; y < this.size; y++) {
      for (let x = 0; x < width; x++, at++) {
        const source = 2 * y * stride + x + 3 * Math.floor(x / 3);
        to[at] = (from[source] + from[source + 3] + from[source + stride] + from[source + stride + 3] + 2) >> 2;
      }
    }
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

/** cv2.INTER_AREA from a square of RGBA to a smaller one of RGB. */
class Area {
  constructor(side, size) {
    this.side = side;
    this.size = size;
    this.whole = side % size === 0 ? side / size : 0; // every output pixel is the mean of whole pixels
    this.spans = this.whole ? null : areaSpans(side, size);
    this.row = new Float32Array(size * 3);
    this.sum = new Float32Array(size * 3);
  }

  write(rgba, rgb) {
    if (this.whole) this.mean(rgba, rgb);
    else this.weigh(rgba, rgb);
  }

  mean(rgba, rgb) {
    const k = this.whole, stride = this.side * 4, share = Math.fround(1 / (k * k));
    for (let y = 0, at = 0; y < this.size; y++) {
      for (let x = 0; x < this.size; x++, at += 3) {
        let red = 0, green = 0, blue = 0;
        for (let j = 0; j < k; j++) {
          for (let from = (y * k + j) * stride + x * k * 4, end = from + 4 * k; from < end; from += 4) {
            red += rgba[from];
            green += rgba[from + 1];
            blue += rgba[from + 2];
          }
        }
        rgb[at] = toByte(Math.fround(red * share));
        rgb[at + 1] = toByte(Math.fround(green * share));
        rgb[at + 2] = toByte(Math.fround(blue * share));
      }
    }
  }

  weigh(rgba, rgb) {
    const { row, sum, spans } = this;
    for (let y = 0, at = 0; y < this.size; y++) {
      sum.fill(0);
      for (const [source, weight] of spans[y]) {
        this.weighRow(rgba, source * this.side * 4);
        for (let i = 0; i < sum.length; i++) sum[i] += Math.fround(weight * row[i]);
      }
      for (let i = 0; i < sum.length; i++, at++) rgb[at] = toByte(sum[i]);
    }
  }

  weighRow(rgba, base) {
    const { row, spans } = this;
    for (let x = 0, at = 0; x < this.size; x++, at += 3) {
      let red = 0, green = 0, blue = 0;
      for (const [source, weight] of spans[x]) {
        const from = base + source * 4;
        red = Math.fround(red + Math.fround(rgba[from] * weight));
        green = Math.fround(green + Math.fround(rgba[from + 1] * weight));
        blue = Math.fround(blue + Math.fround(rgba[from + 2] * weight));
      }
      row[at] = red;
      row[at + 1] = green;
      row[at + 2] = blue;
    }
  }
}

/** For each output pixel the source pixels that it covers, with their shares: [index, float32 share]. */
function areaSpans(side, size) {
  const scale = 1 / (size / side), little = 1e-3; // a thinner sliver of a pixel is left out
  return Array.from({ length: size }, (_, i) => {
    const start = i * scale, end = start + scale, cell = Math.min(scale, side - start);
    const to = Math.min(Math.floor(end), side - 1), from = Math.min(Math.ceil(start), to);
    const span = [];
    if (from - start > little) span.push([from - 1, Math.fround((from - start) / cell)]);
    for (let source = from; source < to; source++) span.push([source, Math.fround(1 / cell)]);
    if (end - to > little) span.push([to, Math.fround(Math.min(end - to, 1, cell) / cell)]);
    return span;
  });
}

function toByte(value) {
  return Math.min(Math.max(roundHalfEven(value), 0), 255);
}

/** The nearest integer, of two the even one: what OpenCV's cvRound does. */
function roundHalfEven(value) {
  const low = Math.floor(value), rest = value - low;
  if (rest !== 0.5) return Math.floor(value + 0.5);
  return low % 2 === 0 ? low : low + 1;
}
