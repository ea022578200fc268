// Taking the transcript along: files and the clipboard.

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
  setTimeout(() => URL.revokeObjectURL(address), 1000); // when the browser has taken it
}

export function copy(transcript) {
  return navigator.clipboard.writeText(WRITERS.txt.write(transcript));
}
