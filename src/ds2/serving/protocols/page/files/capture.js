// Runs in the audio thread: gathers the microphone's samples into blocks for the page.

// Shorter blocks would cost more messages and not give text sooner.
const BLOCK_S = 0.032;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(Math.round(BLOCK_S * sampleRate));
  #filled = 0;

  /** Takes one quantum (128 samples) of the single channel. Returns true to get the next. */
  process([[samples = new Float32Array(0)]]) {
    for (const sample of samples) {
      this.#block[this.#filled++] = sample;
      if (this.#filled === this.#block.length) {
        this.port.postMessage(this.#block, [this.#block.buffer]);
        this.#block = new Float32Array(Math.round(BLOCK_S * sampleRate));
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
