// The discrete Fourier transform, for spectra.

/** Power spectra of real signals of a fixed length. */
export class Fourier {
  #size;
  #order; // the place of each sample: its index with the bits reversed
  #cosine;
  #sine;
  #real;
  #imaginary;

  /** size: a power of two. */
  constructor(size) {
    const turns = Float64Array.from({ length: size / 2 }, (_, k) => (-2 * Math.PI * k) / size);
    const bits = Math.log2(size);
    this.#size = size;
    this.#order = Uint32Array.from({ length: size }, (_, index) => reversed(index, bits));
    this.#cosine = turns.map(Math.cos);
    this.#sine = turns.map(Math.sin);
    this.#real = new Float64Array(size);
    this.#imaginary = new Float64Array(size);
  }

  /** The power at bins 0 to size / 2 of a signal of at most `size` samples. */
  power(signal) {
    const real = this.#real;
    const imaginary = this.#imaginary.fill(0);
    this.#order.forEach((source, index) => (real[index] = signal[source] ?? 0));
    for (let half = 1; half < this.#size; half *= 2) this.#merge(half);
    return Float64Array.from(
      { length: this.#size / 2 + 1 },
      (_, bin) => real[bin] ** 2 + imaginary[bin] ** 2,
    );
  }

  /** One round of Cooley and Tukey: two transforms of length `half` become one of twice that. */
  #merge(half) {
    const [real, imaginary] = [this.#real, this.#imaginary];
    const step = this.#size / (2 * half);
    for (let start = 0; start < this.#size; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const [even, odd] = [start + k, start + k + half];
        const [cosine, sine] = [this.#cosine[k * step], this.#sine[k * step]];
        const x = real[odd] * cosine - imaginary[odd] * sine;
        const y = real[odd] * sine + imaginary[odd] * cosine;
        real[odd] = real[even] - x;
        imaginary[odd] = imaginary[even] - y;
        real[even] += x;
        imaginary[even] += y;
      }
    }
  }
}

function reversed(index, bits) {
  let result = 0;
  for (let bit = 0; bit < bits; bit++) result = (result << 1) | ((index >> bit) & 1);
  return result;
}
