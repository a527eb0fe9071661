// What a person reads: whole sentences with named gaps, as `interp_widgets.words` says them.

const TRANSLATIONS = {}; // by the English sentence; the kernel writes those of the language set into this line

/** A letter that is written from right to left. */
export const RIGHT_TO_LEFT = /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** A sentence in the language set, with `gaps.name` in place of each `{name}`. */
export function say(sentence, gaps = {}) {
  return (TRANSLATIONS[sentence] ?? sentence).replace(/\{(\w+)\}/g, (_gap, name) => isolated(String(gaps[name])));
}

/** A name for the middle of a sentence: one from right to left would otherwise move the numbers beside it. */
function isolated(text) {
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}
