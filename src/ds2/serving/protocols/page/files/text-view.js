// The transcript on the page: final paragraphs, and below them the text in progress.

import { separator } from "./transcript.js";

// Lower bounds of the confidences that the page shows as 4, 3 and 2. Lower ones are 1.
const CERTAINTIES = [
  [0.9, 4],
  [0.7, 3],
  [0.45, 2],
];

export class TextView {
  #final;
  #partial;

  /** final: the element for final paragraphs; partial: the paragraph of the text in progress. */
  constructor(final, partial) {
    this.#final = final;
    this.#partial = partial;
  }

  /** Adds a final paragraph of words. */
  add(words) {
    const text = document.createElement("span");
    text.className = "text";
    words.forEach((word, index) => text.append(separator(words[index - 1], word), shaded(word)));
    const paragraph = document.createElement("p");
    paragraph.className = "paragraph";
    paragraph.lang = tagOf(words[0].language);
    paragraph.append(timeOf(words[0].start), text);
    this.#keepingEndInSight(() => this.#final.append(paragraph));
  }

  /** Removes the last paragraph. */
  removeLast() {
    this.#final.lastElementChild?.remove();
  }

  /** Shows the text in progress, of a segment that began at start_s. Without text, shows nothing. */
  showPartial(stable, unstable, start_s, language) {
    this.#keepingEndInSight(() => {
      this.#partial.hidden = !(stable || unstable);
      this.#partial.lang = tagOf(language);
      this.#partial.querySelector("time").replaceWith(timeOf(start_s));
      this.#partial.querySelector(".stable").textContent = stable;
      this.#partial.querySelector(".unstable").textContent = unstable;
    });
  }

  hidePartial() {
    this.showPartial("", "", 0, "");
  }

  clear() {
    this.#final.replaceChildren();
    this.hidePartial();
  }

  /** Scrolls to new text, unless the reader has scrolled back to older text. */
  #keepingEndInSight(change) {
    const before = this.#newest;
    const isInSight = !before || before.getBoundingClientRect().top < innerHeight;
    change();
    if (isInSight) this.#newest?.scrollIntoView({ block: "nearest" });
  }

  get #newest() {
    return this.#partial.hidden ? this.#final.lastElementChild : this.#partial;
  }
}

function shaded(word) {
  const element = document.createElement("span");
  const [, certainty] = CERTAINTIES.find(([least]) => word.confidence >= least) ?? [0, 1];
  element.dataset.certainty = certainty;
  element.textContent = word.text;
  element.title = `${Math.round(100 * word.confidence)} %, ${word.start.toFixed(1)} s`;
  return element;
}

function timeOf(time_s) {
  const element = document.createElement("time");
  element.textContent = clock(time_s);
  return element;
}

/** 75 as "1:15". */
export function clock(time_s) {
  const seconds = Math.floor(time_s);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const tail = String(seconds % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** The tag names the script, because Japanese fonts draw the same characters differently. */
function tagOf(language) {
  return language === "zh" ? "zh-Hans" : language;
}
