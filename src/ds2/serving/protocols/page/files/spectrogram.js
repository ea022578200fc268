// A picture of the last seconds of sound. It grows while sound arrives.

import { Fourier } from "./fourier.js";

const WINDOW_S = 0.02; // the model's own windows
const STRIDE_S = 0.01;
const HIGHEST_HZ = 8000;
const RANGE_DB = 65; // from black to white
const PEAK_FALL_DB = 0.02; // per frame: a few seconds after a shout, quiet speech is visible again

export class Spectrogram {
  #canvas;
  #context;
  #image;
  #columns; // brightness 0 to 255 by column and row, a ring
  #next = 0; // column, counted from the beginning
  #pending = new Float32Array(0);
  #peak_db = -40;
  #rate = 0; // the rate for which the next two are made
  #fourier;
  #taper; // the Hann window
  #isDue = false;
  #stillness = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#image = this.#context.createImageData(canvas.width, canvas.height);
    this.#columns = new Uint8ClampedArray(canvas.width * canvas.height);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#redraw());
  }

  /** Adds sound, at `rate` samples per second. */
  add(samples, rate) {
    if (rate !== this.#rate) this.#tune(rate);
    const waiting = new Float32Array(this.#pending.length + samples.length);
    waiting.set(this.#pending);
    waiting.set(samples, this.#pending.length);
    const [window, stride] = [this.#taper.length, Math.round(STRIDE_S * rate)];
    let start = 0;
    for (; start + window <= waiting.length; start += stride) {
      this.#draw(waiting.subarray(start, start + window));
    }
    this.#pending = waiting.slice(start);
    this.#redraw();
  }

  clear() {
    this.#columns.fill(0);
    this.#next = 0;
    this.#redraw();
  }

  #tune(rate) {
    const window = Math.round(WINDOW_S * rate);
    const phase = (2 * Math.PI) / window;
    this.#rate = rate;
    this.#pending = new Float32Array(0);
    this.#fourier = new Fourier(2 ** Math.ceil(Math.log2(window)));
    this.#taper = Float32Array.from({ length: window }, (_, k) => 0.5 - 0.5 * Math.cos(phase * k));
  }

  #draw(frame) {
    const { width, height } = this.#canvas;
    const power = this.#fourier.power(frame.map((sample, k) => sample * this.#taper[k]));
    const binsPerRow = ((HIGHEST_HZ / this.#rate) * 2 * (power.length - 1)) / (height - 1);
    const levels_db = Float32Array.from(
      { length: height },
      (_, row) => 10 * Math.log10(power[Math.round(row * binsPerRow)] + 1e-9),
    );
    this.#peak_db = Math.max(-10, this.#peak_db - PEAK_FALL_DB, ...levels_db);
    const offset = (this.#next++ % width) * height;
    levels_db.forEach((level_db, row) => {
      this.#columns[offset + row] = 255 * (1 + (level_db - this.#peak_db) / RANGE_DB);
    });
  }

  #redraw() {
    if (this.#isDue) return; // once per frame of the screen is enough
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#paint();
    });
  }

  #paint() {
    const { width, height } = this.#canvas;
    const { data } = this.#image;
    const [red, green, blue] = inkOf(this.#canvas);
    // For users who prefer no motion, the picture stands still and new sound overwrites old sound.
    const oldest = this.#stillness.matches ? 0 : this.#next % width;
    for (let x = 0; x < width; x++) {
      const column = ((oldest + x) % width) * height;
      for (let y = 0; y < height; y++) {
        const pixel = 4 * ((height - 1 - y) * width + x);
        data[pixel] = red;
        data[pixel + 1] = green;
        data[pixel + 2] = blue;
        data[pixel + 3] = this.#columns[column + y];
      }
    }
    this.#context.putImageData(this.#image, 0, 0);
  }
}

/** The text's colour, as [red, green, blue]. Sound has the same colour. */
function inkOf(element) {
  return getComputedStyle(element).color.match(/\d+/g).map(Number);
}
