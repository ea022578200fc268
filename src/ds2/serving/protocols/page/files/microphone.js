// Reads the microphone as blocks of samples.

import { insecure, microphoneProblem } from "./problems.js";
import { SAMPLE_RATE_HZ } from "./sound.js";

// Filters that make calls pleasant for people change the spectra, and the model does not know those.
const AS_IT_IS = {
  channelCount: 1,
  echoCancellation: false,
  noiseSuppression: false,
  autoGainControl: false,
};

/**
 * Opens the microphone. `onSamples` gets Float32Arrays, full scale at 1, and their rate.
 * Returns { rate, close }, rate in Hz. Calls `onEnd` if the microphone is taken away.
 * Throws a Problem.
 */
export async function openMicrophone(onSamples, onEnd) {
  if (!window.isSecureContext || !navigator.mediaDevices) throw insecure();
  let sound;
  try {
    sound = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    const { context, source } = await connected(sound);
    const capture = new AudioWorkletNode(context, "capture", {
      channelCount: 1,
      channelCountMode: "explicit",
      numberOfOutputs: 0,
    });
    capture.port.onmessage = ({ data }) => onSamples(data, context.sampleRate);
    source.connect(capture);
    for (const track of sound.getTracks()) track.onended = onEnd;
    return { rate: context.sampleRate, close: () => closed(sound, context, capture) };
  } catch (error) {
    for (const track of sound?.getTracks() ?? []) track.stop();
    throw microphoneProblem(error);
  }
}

/** The browser resamples to the model's rate. If it cannot, the server does. */
async function connected(sound) {
  for (const options of [{ sampleRate: SAMPLE_RATE_HZ }, {}]) {
    const context = new AudioContext({ latencyHint: "interactive", ...options });
    try {
      await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
      await context.resume();
      return { context, source: context.createMediaStreamSource(sound) };
    } catch (error) {
      await context.close();
      // Firefox cannot connect a microphone to a context of another rate.
      if (error.name !== "NotSupportedError" || !options.sampleRate) throw error;
    }
  }
}

async function closed(sound, context, capture) {
  capture.port.onmessage = null;
  for (const track of sound.getTracks()) {
    track.onended = null;
    track.stop();
  }
  if (context.state !== "closed") await context.close();
}
