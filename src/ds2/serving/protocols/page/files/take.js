// One take: a stretch of sound on its way to the server, and its text on the way back.

import { Latency } from "./latency.js";
import { Stream } from "./stream.js";
import { guessedWords, rounded } from "./transcript.js";

/**
 * Times are from the transcript's beginning: a take goes on where the last one ended.
 * `onText` is called with the words of each final, `onPartial` with (stable, unstable).
 */
export class Take {
  latency = new Latency();
  heard_s = 0; // of this take, taken into account in the last answer
  segment_s = 0; // of this take: where the segment under way begins
  onPace = () => {}; // called when there is news of how fast it goes
  isFinished = false; // whether all its sound is there
  #stream = null;
  #waiting = []; // sound that came before the server was ready for it
  #partial = "";
  #numSamples = 0;
  #rate = 0;

  /** begin_s: where it begins in the transcript; language: of the model. */
  constructor(begin_s, language, { onText, onPartial }) {
    Object.assign(this, { begin_s, language, onText, onPartial });
  }

  /** Connects; start: the first message's fields. Throws a Problem. */
  async open(start, key) {
    this.#rate = start.sample_rate_hz;
    this.#stream = new Stream(start, key, (message) => this.#hear(message));
    await this.#stream.ready;
    for (const samples of this.#waiting) this.#send(samples);
    this.#waiting = [];
    if (this.isFinished) this.#stream.finish();
  }

  /** More sound, at once or as soon as the server is ready. */
  add(samples) {
    if (this.#stream?.isOpen && !this.#waiting.length) this.#send(samples);
    else this.#waiting.push(samples);
  }

  /** No more sound comes. */
  finish() {
    this.isFinished = true;
    this.#stream?.finish();
  }

  /** Waits no longer for its last words. */
  abandon() {
    this.#stream?.abandon();
  }

  get isOpen() {
    return this.#stream?.isOpen ?? false;
  }

  get waiting() {
    return this.#stream.waiting;
  }

  /** Resolves when the last words are there; throws a Problem. */
  get ended() {
    return this.#stream.ended;
  }

  /** Sound that was sent, in seconds. */
  get sent_s() {
    return this.#rate ? this.#numSamples / this.#rate : 0;
  }

  /** The text under way as words, for when no final will come any more. */
  unfinishedWords() {
    const start_s = this.begin_s + this.segment_s;
    const end_s = Math.max(start_s, this.begin_s + this.heard_s);
    return guessedWords(this.#partial, this.language, start_s, end_s);
  }

  #send(samples) {
    this.#numSamples += samples.length;
    this.latency.sent(this.sent_s);
    this.#stream.send(samples);
  }

  #hear(message) {
    if (message.heard_s !== undefined) {
      this.heard_s = message.heard_s;
      this.latency.heard(message.heard_s);
      this.onPace();
    }
    if (message.type === "partial") {
      this.#partial = message.stable + message.unstable;
      this.onPartial(message.stable, message.unstable);
    } else if (message.type === "final") {
      this.#partial = "";
      this.onText(this.#placed(message.words));
    } else if (message.type === "endpoint") {
      this.segment_s = message.time_s;
    }
  }

  /** The words of a final, at their places in the transcript. */
  #placed(words) {
    return words.map(({ word, start, end, confidence }) => ({
      text: word,
      start: rounded(this.begin_s + start, 3),
      end: rounded(this.begin_s + end, 3),
      confidence,
      language: this.language,
    }));
  }
}
