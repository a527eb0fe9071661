// What a person reads: whole sentences with named gaps, as `interp_widgets.words` says them.

const TRANSLATIONS = {}; // by the English sentence; the kernel writes those of the language set into this line

/** A sentence in the language set, with `gaps.name` in place of each `{name}`. */
export function say(sentence, gaps = {}) {
  return (TRANSLATIONS[sentence] ?? sentence).replace(/\{(\w+)\}/g, (_gap, name) => String(gaps[name]));
}
