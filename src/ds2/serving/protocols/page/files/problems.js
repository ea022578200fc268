// The problems of the page, in words for its user.

/** A problem for the user to read. retryLabel: the button's label, if trying again may help. */
export class Problem extends Error {
  constructor(message, { retryLabel = null, needsKey = false } = {}) {
    super(message);
    this.retryLabel = retryLabel;
    this.needsKey = needsKey;
  }
}

export const insecure = () =>
  new Problem(
    "Browsers give the microphone only to pages on https or localhost. Open this page at " +
      "http://localhost on the server itself, or through https. You can still open files here.",
  );

/** The problem when `getUserMedia` or an `AudioContext` fails. */
export function microphoneProblem(error) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return new Problem(
        "This page may not use the microphone. Allow it in the browser's settings for this site, " +
          "beside the address, and press Listen again.",
      );
    case "NotFoundError":
    case "OverconstrainedError":
      return new Problem(
        "No microphone was found. Connect one and press Listen again, or open a file.",
      );
    case "NotReadableError":
    case "AbortError":
      return new Problem(
        "The microphone gives no sound: another program may use it. Close that program, and " +
          "press Listen again.",
      );
    default:
      return new Problem(`The microphone cannot be used: ${error.message || error.name}.`);
  }
}

/** The problem when the server refuses. status: of HTTP; message: the server's sentence. */
export function refusal(status, message) {
  switch (status) {
    case 401:
    case 403:
      return new Problem(`The server does not let this page in: ${message}.`, { needsKey: true });
    case 429:
    case 503:
      return new Problem(`The server is busy: ${message}.`, { retryLabel: "Try again" });
    default:
      return new Problem(`The server refused: ${message}.`);
  }
}

/** reason: the server's reason for closing, or "". */
export const lost = (reason) =>
  new Problem(`The connection was lost${reason && `: ${reason}`}. Your text is kept.`, {
    retryLabel: "Reconnect",
  });

export const unreachable = () =>
  new Problem("The server cannot be reached. Is it running?", { retryLabel: "Try again" });

export const blocked = () =>
  new Problem(
    "The server answers, but this page could not open a stream. A proxy on the way may not pass " +
      "on WebSockets, or it may change the server's name.",
    { retryLabel: "Try again" },
  );

export const unreadable = (name) =>
  new Problem(
    `This browser cannot read “${name}”. Try wav, mp3, m4a, flac or ogg; the command ` +
      "ds2 transcribe reads more.",
  );
