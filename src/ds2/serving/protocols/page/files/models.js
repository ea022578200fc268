// Asks the server for its models.

import { unreachable } from "./problems.js";

/** { models: [{ name, language, latency_s, streaming }], needs_key }. Throws a Problem. */
export async function askedServer() {
  try {
    const answer = await fetch("page/server.json", { cache: "no-store" });
    if (answer.ok) return await answer.json();
  } catch {
    // reported below
  }
  throw unreachable();
}

/** Puts the models into a select element, with the names of their languages. */
export function filledModels(select, models) {
  const options = models.map((model) => {
    const isOnly = models.filter(({ language }) => language === model.language).length === 1;
    const language = languageName(model.language);
    return new Option(isOnly ? language : `${language}: ${model.name}`, model.name);
  });
  select.replaceChildren(...options);
}

/** The language's name in English and in the language itself: "Chinese, 中文". */
function languageName(code) {
  const name = (locale) => new Intl.DisplayNames(locale, { type: "language" }).of(code);
  const [ours, its] = [name("en"), name(code)];
  return ours === its ? ours : `${ours}, ${its}`;
}
