// What the server can do.

import { unreachable } from "./problems.js";

/** { models: [{ name, language, latency_s, streaming }], needs_key }. Throws a Problem. */
export async function askedServer() {
  try {
    const answer = await fetch("page/server.json", { cache: "no-store" });
    if (answer.ok) return await answer.json();
  } catch {
    // told below
  }
  throw unreachable();
}

/** Puts the models into a select element, by their languages' names. */
export function filledModels(select, models) {
  const options = models.map((model) => {
    const isOnly = models.filter(({ language }) => language === model.language).length === 1;
    const language = languageName(model.language);
    return new Option(isOnly ? language : `${language}: ${model.name}`, model.name);
  });
  select.replaceChildren(...options);
}

/** In the reader's language and in its own: "Chinese, 中文". */
function languageName(code) {
  const name = (locale) => new Intl.DisplayNames(locale, { type: "language" }).of(code);
  const [ours, its] = [name("en"), name(code)];
  return ours === its ? ours : `${ours}, ${its}`;
}
