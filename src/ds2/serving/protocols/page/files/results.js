// Copies the transcript to the clipboard, and saves it to files.

import { WRITERS } from "./transcript.js";

export const EXTENSIONS = Object.keys(WRITERS);

/** Gives the browser a file to save. */
export function save(transcript, extension) {
  const { type, write } = WRITERS[extension];
  const address = URL.createObjectURL(new Blob([write(transcript)], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = `transcript.${extension}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000); // by then the browser has read it
}

export function copy(transcript) {
  return navigator.clipboard.writeText(WRITERS.txt.write(transcript));
}
