// Shows everything except the text: status, problems, figures, and active buttons.

import { Problem } from "./problems.js";

const RESULT_BUTTONS = ["copy", "save-txt", "save-srt", "save-json"];

/** The page's element of this id. */
export const $ = (id) => document.getElementById(id);

export function showStatus(text) {
  $("status").textContent = text;
}

/** retry: the action of the button, if trying again may help. */
export function showProblem(error, retry = null) {
  const isExpected = error instanceof Problem;
  if (!isExpected) console.error(error);
  $("problem").textContent = isExpected ? error.message : `The page failed: ${error.message}`;
  $("again").hidden = !(retry && error.retryLabel);
  $("again").textContent = error.retryLabel ?? "";
  $("again").onclick = retry;
  $("notice").hidden = false;
  if (error.needsKey) {
    $("key-field").hidden = false;
    $("key").focus();
  }
}

export function clearProblem() {
  $("notice").hidden = true;
  $("problem").textContent = "";
}

export const hasProblem = () => !$("notice").hidden;

/** Shows a figure with text before and after it. Without arguments, shows nothing. */
export function showPace(before = "", figure = "", after = "") {
  const strong = document.createElement("b");
  strong.textContent = figure;
  $("latency").replaceChildren(before, strong, after);
}

/** Shows which buttons work, and the action of the main button. */
export function showState({ isReady, isBusy, isEmpty }) {
  document.body.classList.toggle("is-live", isBusy);
  $("listen-label").textContent = isBusy ? "Stop" : "Listen";
  $("listen").disabled = !isReady;
  $("open").disabled = $("model").disabled = isBusy || !isReady;
  $("invitation").hidden = isBusy || !isEmpty;
  $("legend").hidden = isEmpty;
  for (const id of RESULT_BUTTONS) $(id).disabled = isEmpty;
  $("clear").disabled = isEmpty || isBusy;
}
