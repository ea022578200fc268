// One stream of speech to the server, and its answers. docs/reference/websocket.md has the protocol.

import { Problem, blocked, lost, refusal, unreachable } from "./problems.js";
import { bytesOf } from "./sound.js";

const REFUSALS = [401, 403, 429, 503]; // statuses that any request can get

/**
 * `ready` resolves when the server takes sound. `ended` resolves after the server's last message.
 * Both throw Problems. Between them, `onMessage` gets the server's messages about the speech.
 */
export class Stream {
  #socket;
  #onMessage;
  #isReady = false;
  #isOpen = false; // for sound
  #isDone = false;
  #refusal = null;

  /** start: the fields of the first message; key: the server's API key, or "". */
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
          if (this.#isDone) return resolve(end()); // perhaps abandoned before it was ready
          const problem = this.#refusal ?? (this.#isReady ? lost(reason) : await whyRefused(key));
          reject(problem);
          fail(problem);
        };
      });
    });
    for (const promise of [this.ready, this.ended]) promise.catch(() => {}); // if nobody waits
  }

  /** Whether sound can still be sent. */
  get isOpen() {
    return this.#isOpen;
  }

  /** Number of bytes that the network has not taken yet. */
  get waiting() {
    return this.#socket.bufferedAmount;
  }

  /** Sends samples. Full scale is 1. */
  send(samples) {
    if (this.#isOpen) this.#socket.send(bytesOf(samples));
  }

  /** Tells the server that no more sound comes. The last words then arrive. */
  finish() {
    if (this.#isOpen) this.#tell({ type: "finish" });
    this.#isOpen = false;
  }

  /** Closes the stream at once, without the last words. */
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
  // Browsers send no headers of ours with a WebSocket. So the key goes into the subprotocols.
  const protocols = key ? ["ds2", `openai-insecure-api-key.${key}`] : [];
  try {
    return new WebSocket(address, protocols);
  } catch {
    throw new Problem("This is not an API key: it has characters that no API key has.", {
      needsKey: true,
    });
  }
}

/** Asks by an ordinary request, because browsers hide the reason why a WebSocket was refused. */
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
