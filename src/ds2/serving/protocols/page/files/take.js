// One take: a stretch of sound that goes to the server, and the text that comes back.

import { Latency } from "./latency.js";
import { Stream } from "./stream.js";
import { guessedWords, rounded } from "./transcript.js";

/**
 * Times count from the transcript's beginning: a take begins where the last take ended.
 * `onText` gets the words of each final, `onPartial` gets (stable, unstable).
 */
export class Take {
  latency = new Latency();
  heard_s = 0; // seconds of this take in the last answer
  segment_s = 0; // second of this take at which the current segment begins
  onPace = () => {}; // called when the speed has changed
  isFinished = false; // whether all its sound has come
  #stream = null;
  #waiting = []; // sound that came before the server was ready
  #partial = "";
  #numSamples = 0;
  #rate = 0;

  /** begin_s: the take's beginning in the transcript; language: the model's language. */
  constructor(begin_s, language, { onText, onPartial }) {
    Object.assign(this, { begin_s, language, onText, onPartial });
  }

  /** Connects. start: the fields of the first message. Throws a Problem. */
  async open(start, key) {
    this.#rate = start.sample_rate_hz;
    this.#stream = new Stream(start, key, (message) => this.#hear(message));
    await this.#stream.ready;
    for (const samples of this.#waiting) this.#send(samples);
    this.#waiting = [];
    if (this.isFinished) this.#stream.finish();
  }

  /** Sends more sound, at once or as soon as the server is ready. */
  add(samples) {
    if (this.#stream?.isOpen && !this.#waiting.length) this.#send(samples);
    else this.#waiting.push(samples);
  }

  /** Ends the sound. */
  finish() {
    this.isFinished = true;
    this.#stream?.finish();
  }

  /** Stops waiting for the last words. */
  abandon() {
    this.#stream?.abandon();
  }

  get isOpen() {
    return this.#stream?.isOpen ?? false;
  }

  get waiting() {
    return this.#stream.waiting;
  }

  /** Resolves when the last words have come. Throws a Problem. */
  get ended() {
    return this.#stream.ended;
  }

  /** Seconds of sound sent so far. */
  get sent_s() {
    return this.#rate ? this.#numSamples / this.#rate : 0;
  }

  /** The current partial text as words, for the case that no final comes any more. */
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
