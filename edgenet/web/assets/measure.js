/** The protocol of device_scripts: warm-up, then runs until there are enough of them and enough time has passed. */

/**
 * @param {{runs: number, min_seconds: number, warmup: number}} protocol
 * @returns nanoseconds of each run in order, and the clock's resolution in nanoseconds.
 */
export async function measureNetwork(network, protocol) {
  fillWithNoise(network.pixels);
  network.fill();
  for (let i = 0; i < protocol.warmup; i++) (await network.run()).delete();
  const samples = [], end = performance.now() + protocol.min_seconds * 1000;
  while (samples.length < protocol.runs || performance.now() < end) {
    const start = performance.now();
    const output = await network.run();
    samples.push(Math.round((performance.now() - start) * 1e6));
    output.delete();
  }
  return { samples_ns: samples, clock_ns: clockResolution() };
}

/** The same numbers each time; latency does not depend on them. */
function fillWithNoise(pixels) {
  for (let i = 0, state = 1; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pixels[i] = state >>> 24;
  }
}

/** The shortest step that the clock was seen to make: browsers make it coarse where a page is not isolated. */
function clockResolution() {
  let shortest = Infinity;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    shortest = Math.min(shortest, now - start);
  }
  return Math.round(shortest * 1e6);
}
