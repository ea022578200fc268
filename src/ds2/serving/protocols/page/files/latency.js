// How long sound takes to become text.

const NUM_RECENT = 15;
const MOST_UNHEARD = 2000; // about a minute: while nobody speaks there are no answers

/** Measures from a sample's arrival in the page to the first answer that takes it into account. */
export class Latency {
  #sent = []; // { end_s, at_ms } of what the server has not heard yet
  #recent_ms = [];

  /** The page has just got the samples up to this second of the stream. */
  sent(end_s) {
    this.#sent.push({ end_s, at_ms: performance.now() });
    if (this.#sent.length > MOST_UNHEARD) this.#sent.shift();
  }

  /** An answer came that rests on the stream's first `heard_s` seconds. */
  heard(heard_s) {
    let last;
    while (this.#sent.length && this.#sent[0].end_s <= heard_s + 1e-6) last = this.#sent.shift();
    if (!last) return;
    this.#recent_ms.push(performance.now() - last.at_ms);
    if (this.#recent_ms.length > NUM_RECENT) this.#recent_ms.shift();
  }

  /** The median of the last answers', in milliseconds; null before the first. */
  get median_ms() {
    const sorted = [...this.#recent_ms].sort((a, b) => a - b);
    return sorted.length ? Math.round(sorted[sorted.length >> 1]) : null;
  }
}
