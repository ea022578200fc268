// Measures how long sound takes to become text.

const NUM_RECENT = 15;
const MOST_UNHEARD = 2000; // about a minute: without speech there are no answers

/** Measures the time from a sample's arrival in the page to the first answer that includes it. */
export class Latency {
  #sent = []; // { end_s, at_ms } of sound without an answer yet
  #recent_ms = [];

  /** Note that the page has just got the samples up to this second of the stream. */
  sent(end_s) {
    this.#sent.push({ end_s, at_ms: performance.now() });
    if (this.#sent.length > MOST_UNHEARD) this.#sent.shift();
  }

  /** Note an answer that includes the stream's first `heard_s` seconds. */
  heard(heard_s) {
    let last;
    while (this.#sent.length && this.#sent[0].end_s <= heard_s + 1e-6) last = this.#sent.shift();
    if (!last) return;
    this.#recent_ms.push(performance.now() - last.at_ms);
    if (this.#recent_ms.length > NUM_RECENT) this.#recent_ms.shift();
  }

  /** The median latency of the last answers, in milliseconds; null before the first. */
  get median_ms() {
    const sorted = [...this.#recent_ms].sort((a, b) => a - b);
    return sorted.length ? Math.round(sorted[sorted.length >> 1]) : null;
  }
}
