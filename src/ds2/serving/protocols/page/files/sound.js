// Turns files into samples, and samples into the bytes that the server takes.

import { unreadable } from "./problems.js";

export const SAMPLE_RATE_HZ = 16_000; // the rate of the models

/** A recording's samples, mono at SAMPLE_RATE_HZ, full scale at 1. Throws a Problem. */
export async function samplesOf(file) {
  const context = new OfflineAudioContext(1, 1, SAMPLE_RATE_HZ); // decoding resamples to its rate
  let recording;
  try {
    recording = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw unreadable(file.name);
  }
  return mono(recording);
}

function mono(recording) {
  const mixed = recording.getChannelData(0);
  for (let channel = 1; channel < recording.numberOfChannels; channel++) {
    recording.getChannelData(channel).forEach((sample, index) => (mixed[index] += sample));
  }
  if (recording.numberOfChannels === 1) return mixed;
  return mixed.map((sample) => sample / recording.numberOfChannels);
}

/**
 * 16-bit integers, always little endian.
 *
 * Chromium divides 16-bit sound by 32767 above zero and by 32768 below. This reverses it.
 */
export function bytesOf(samples) {
  const bytes = new DataView(new ArrayBuffer(2 * samples.length));
  samples.forEach((sample, index) => {
    const level = Math.max(-1, Math.min(1, sample));
    bytes.setInt16(2 * index, Math.round(level * (level < 0 ? 32768 : 32767)), true);
  });
  return bytes.buffer;
}
