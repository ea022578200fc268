// One stream of speech to the server, and its answers: the protocol of docs/reference/websocket.md.

import { Problem, blocked, lost, refusal, unreachable } from "./problems.js";
import { bytesOf } from "./sound.js";

const REFUSALS = [401, 403, 429, 503]; // that every request meets alike

/**
 * `ready` resolves when the server takes sound, `ended` when it has told all; both throw Problems.
 * Between them `onMessage` gets what the server says of the speech.
 */
export class Stream {
  #socket;
  #onMessage;
  #isReady = false;
  #isOpen = false; // for sound
  #isDone = false;
  #refusal = null;

  /** start: the first message's fields; key: of the server, or "". */
  constructor(start, key, onMessage) {
    this.#onMessage = onMessage;
    this.#socket = connection(key);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.#tell({ type: "start", ...start });
    this.ready = new Promise((resolve, reject) => {
      this.ended = new Promise((end, fail) => {
        this.#socket.onmessage = ({ data }) => this.#hear(JSON.parse(data), resolve);
        this.#socket.onclose = async ({ reason }) => {
          this.#isOpen = false;
          if (this.#isDone) return resolve(end()); // given up, perhaps, before it was ready
          const problem = this.#refusal ?? (this.#isReady ? lost(reason) : await whyRefused(key));
          reject(problem);
          fail(problem);
        };
      });
    });
    for (const promise of [this.ready, this.ended]) promise.catch(() => {}); // read later, or never
  }

  /** Whether sound can still be sent. */
  get isOpen() {
    return this.#isOpen;
  }

  /** Bytes that the network has not taken yet. */
  get waiting() {
    return this.#socket.bufferedAmount;
  }

  /** Sends samples, full scale at 1. */
  send(samples) {
    if (this.#isOpen) this.#socket.send(bytesOf(samples));
  }

  /** No more sound comes: the last words, please. */
  finish() {
    if (this.#isOpen) this.#tell({ type: "finish" });
    this.#isOpen = false;
  }

  /** Ends it here and now, whatever is still to come. */
  abandon() {
    this.#isDone = true;
    this.#isOpen = false;
    this.#socket.close();
  }

  #tell(message) {
    this.#socket.send(JSON.stringify(message));
  }

  #hear(message, resolve) {
    switch (message.type) {
      case "ready":
        this.#isReady = this.#isOpen = true;
        return resolve(message);
      case "done":
        this.#isDone = true;
        return this.#socket.close();
      case "error":
        this.#refusal = refusal(message.status, message.message);
        return this.#socket.close();
      default:
        return this.#onMessage(message);
    }
  }
}

function connection(key) {
  const address = new URL("v1/stream", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  // Browsers send no headers with a WebSocket: a key travels among the protocols' names.
  const protocols = key ? ["ds2", `openai-insecure-api-key.${key}`] : [];
  try {
    return new WebSocket(address, protocols);
  } catch {
    throw new Problem("This is no key of a server: it has characters that no key has.", {
      needsKey: true,
    });
  }
}

/** A browser does not tell why a WebSocket was refused, but it does for an ordinary request. */
async function whyRefused(key) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  try {
    const answer = await fetch("v1/models", { headers, cache: "no-store" });
    if (!REFUSALS.includes(answer.status)) return blocked();
    const { error } = await answer.json();
    return refusal(answer.status, error.message);
  } catch {
    return unreachable();
  }
}
