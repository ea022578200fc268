// Listens to the microphone and reads files: from a pressed button to the final text.

import { openMicrophone } from "./microphone.js";
import { clearProblem, showPace, showProblem, showState, showStatus } from "./panel.js";
import { SAMPLE_RATE_HZ, samplesOf } from "./sound.js";
import { Take } from "./take.js";
import { clock } from "./text-view.js";
import { Transcript } from "./transcript.js";

const BLOCK_S = 0.25; // seconds of a file to send at once
const MOST_WAITING_BYTES = 64_000; // 2 s of a file: more would fill the browser's memory
const PAUSE_MS = 10;

export class Recorder {
  transcript = new Transcript();
  #view;
  #spectrogram;
  #chosen;
  #take = null; // the current take
  #stop = () => {}; // what the Stop button does to it

  /** chosen: returns the current { model, phrases, key }; model: null if there is none. */
  constructor(view, spectrogram, chosen) {
    this.#view = view;
    this.#spectrogram = spectrogram;
    this.#chosen = chosen;
  }

  get isBusy() {
    return this.#take !== null;
  }

  /** Shows what the user can do now. */
  refresh() {
    const isReady = this.#chosen().model !== null;
    showState({ isReady, isBusy: this.isBusy, isEmpty: !this.transcript.words.length });
  }

  /** Ends the current take and waits for its last words. A second call does not wait for them. */
  stop() {
    const take = this.#take;
    this.#stop();
    this.#stop = () => take.abandon();
    showStatus("Waiting for the last words…");
  }

  clear() {
    this.transcript = new Transcript();
    this.#view.clear();
    this.#spectrogram.clear();
    clearProblem();
    showPace();
    showStatus("Cleared.");
    this.refresh();
  }

  /** Takes sound from the microphone, until the user presses Stop. */
  async listen() {
    const { model } = this.#chosen();
    const take = this.#begin(model);
    take.onPace = () => showLatency(take, model);
    let microphone = null;
    this.#stop = () => {
      microphone?.close();
      take.finish();
    };
    try {
      showStatus("Opening the microphone…");
      microphone = await openMicrophone(
        (samples, rate) => {
          this.#spectrogram.add(samples, rate);
          take.add(samples);
        },
        () => this.stop(), // the microphone was taken away
      );
      // The user may have pressed Stop while the browser asked for permission.
      if (take.isFinished) await microphone.close();
      else showStatus(model.streaming ? "Listening." : "Listening. The text comes after Stop.");
      await take.open(this.#startOf(microphone.rate, true), this.#chosen().key);
      await take.ended;
      this.#leave("Stopped.");
    } catch (error) {
      this.#leave("");
      showProblem(error, () => this.listen());
    } finally {
      await microphone?.close();
    }
  }

  /** Takes sound from a file, as fast as the server takes it. */
  read(file) {
    return this.#send(samplesOf(file), file.name, 0);
  }

  /** Sends a file's samples from second `from_s` on. After a lost connection it can go on there. */
  async #send(decoding, name, from_s) {
    const { model, key } = this.#chosen();
    const take = this.#begin(model);
    this.#stop = () => take.finish();
    try {
      showStatus(`Reading ${name}.`);
      const samples = await decoding;
      take.onPace = progressOf(take, from_s, samples.length / SAMPLE_RATE_HZ);
      await take.open(this.#startOf(SAMPLE_RATE_HZ, false), key);
      await this.#pour(samples.subarray(from_s * SAMPLE_RATE_HZ), take);
      await take.ended;
      this.#leave(`${name} is done.`);
    } catch (error) {
      const numUnfinished = this.#leave("");
      showProblem(error, () => {
        this.#retract(numUnfinished, take);
        return this.#send(decoding, name, from_s + take.segment_s);
      });
    }
  }

  async #pour(samples, take) {
    const step = BLOCK_S * SAMPLE_RATE_HZ;
    for (let start = 0; start < samples.length && take.isOpen; start += step) {
      const block = samples.subarray(start, start + step);
      this.#spectrogram.add(block, SAMPLE_RATE_HZ);
      take.add(block);
      await pause(0); // so that the picture and the Stop button can react
      while (take.isOpen && take.waiting > MOST_WAITING_BYTES) await pause(PAUSE_MS);
    }
    take.finish();
  }

  #begin(model) {
    clearProblem();
    showPace();
    const take = new Take(this.transcript.duration, model.language, {
      onText: (words) => this.#keep(words),
      onPartial: (stable, unstable) =>
        this.#view.showPartial(stable, unstable, take.begin_s + take.segment_s, model.language),
    });
    this.#take = take;
    this.refresh();
    return take;
  }

  #startOf(rate, isLive) {
    const { model, phrases } = this.#chosen();
    const form = { sample_rate_hz: rate, encoding: "s16le" };
    return { model: model.name, ...form, phrases, endpoints: true, live: isLive };
  }

  #keep(words) {
    this.#view.hidePartial();
    if (!words.length) return;
    this.transcript.words.push(...words);
    this.#view.add(words);
    this.refresh();
  }

  /** Ends the take, after success or failure. Keeps its unfinished words and returns their number. */
  #leave(status) {
    const take = this.#take;
    const unfinished = take.unfinishedWords();
    this.#keep(unfinished);
    this.transcript.duration = take.begin_s + take.sent_s;
    this.#take = null;
    this.#stop = () => {};
    showStatus(status);
    this.refresh();
    return unfinished.length;
  }

  /** Removes unfinished words that were kept, because their sound will be sent again. */
  #retract(numWords, take) {
    if (numWords) {
      this.transcript.words.splice(-numWords);
      this.#view.removeLast();
    }
    this.transcript.duration = take.begin_s + take.segment_s;
  }
}

const pause = (time_ms) => new Promise((resolve) => setTimeout(resolve, time_ms));

function showLatency(take, model) {
  const { median_ms } = take.latency;
  if (median_ms === null) return;
  const context_ms = Math.round(1000 * (model.latency_s ?? 0));
  showPace("Latency ", `${median_ms} ms`, context_ms ? ` + ${context_ms} ms context` : "");
}

/** A function that shows how much of a file is done, and how fast it goes. */
function progressOf(take, from_s, total_s) {
  const began_ms = performance.now();
  return () => {
    const speed = (1000 * take.heard_s) / (performance.now() - began_ms);
    const place = `${clock(from_s + take.heard_s)} of ${clock(total_s)}`;
    showPace("", place, `, ${speed.toFixed(speed < 10 ? 1 : 0)} times as fast as speech`);
  };
}
