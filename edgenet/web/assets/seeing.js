/** What edgenet_device's Smoother and SteadyAnswer (live/loop.py), top_k (classifier.py) and percentile (latency/samples.py) do, for the page. */

/** An exponential average of scores whose memory is in seconds, so that it is the same at any frame rate. */
export class Smoother {
  /** @param {number} halfLife seconds after which a score counts half; 0 for no memory. */
  constructor(halfLife) {
    this.halfLife = halfLife;
    this.forget();
  }

  forget() {
    this.average = null;
    this.time = 0;
  }

  /** The average with these scores in it; `time` in seconds. */
  update(scores, time) {
    if (this.average === null || this.halfLife === 0) {
      this.average = Float32Array.from(scores);
    } else {
      const keep = 0.5 ** ((time - this.time) / this.halfLife);
      for (let i = 0; i < scores.length; i++) this.average[i] = this.average[i] * keep + (1 - keep) * scores[i];
    }
    this.time = time;
    return this.average;
  }
}

/** What is shown for things that the network does not know, and the label of the output that some networks have for them. */
export const NOTHING_KNOWN = "nothing I know";
const STAY = 2 / 3;
const GIVE_UP = 4;

/** The class to show, chosen so that it does not flicker; the rule is described in live/loop.py. */
export class SteadyAnswer {
  /** @param {number} hold seconds for which another answer must be the right one before it is shown; 0 for none. */
  constructor(labels, threshold, hold) {
    Object.assign(this, { labels, threshold, hold });
    this.forget();
  }

  forget() {
    this.shown = this.next = this.right = null;
    this.since = 0;
  }

  /** The index of the class to show, or null for nothing that the network knows; `time` in seconds. */
  update(scores, time) {
    const answer = this.answer(scores);
    if (answer !== this.next) [this.next, this.since] = [answer, time];
    if (this.right === null || answer === this.shown || time - this.since >= this.hold) {
      [this.shown, this.right] = [answer, time];
    } else if (time - this.right >= GIVE_UP * this.hold) {
      this.shown = null;
    }
    return this.shown;
  }

  answer(scores) {
    const [{ index, score }] = topK(scores, 1);
    if (score >= this.threshold && this.labels[index] !== NOTHING_KNOWN) return index;
    if (this.hold === 0 || this.shown === null) return null;
    return scores[this.shown] >= STAY * Math.max(score, this.threshold) ? this.shown : null;
  }
}

/** The k highest scores as [{index, score}], best first; of equal scores the lower index comes first. */
export function topK(scores, k) {
  const best = [];
  for (let index = 0; index < scores.length; index++) {
    const score = scores[index];
    if (best.length === k && !(score > best[k - 1].score)) continue;
    let place = best.length;
    while (place > 0 && best[place - 1].score < score) place--;
    best.splice(place, 0, { index, score });
    if (best.length > k) best.pop();
  }
  return best;
}

/** The p-th percentile by the nearest-rank rule: a value that was really measured. */
export function percentile(values, p) {
  const ordered = Float64Array.from(values).sort();
  return ordered[Math.max(Math.ceil(Number(((p / 100) * ordered.length).toFixed(9))), 1) - 1];
}

/** The latest values, at most `most` of them. */
export class Recent {
  constructor(most) {
    this.most = most;
    this.values = [];
  }

  add(value) {
    this.values.push(value);
    if (this.values.length > this.most) this.values.shift();
  }
}
