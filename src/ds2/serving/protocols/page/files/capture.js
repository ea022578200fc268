// In the audio thread: the microphone's samples, gathered into blocks for the page.

// Shorter blocks would bring more messages than the text could profit from.
const BLOCK_S = 0.032;

class Capture extends AudioWorkletProcessor {
  #block = new Float32Array(Math.round(BLOCK_S * sampleRate));
  #filled = 0;

  /** Takes one quantum (128 samples) of the single channel; true asks for the next. */
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
