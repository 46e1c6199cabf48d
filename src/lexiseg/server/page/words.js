/**
 * Words as people write them: commas or lines between words, "|" between synonyms, ":thing" or ":stuff" after one.
 *
 * @typedef {object} Word
 * @property {string} name
 * @property {string[]} synonyms
 * @property {?boolean} is_thing null leaves it to the server
 * @property {string[]} path place in a taxonomy
 * @property {number} [slot] place in the palette
 */

const KINDS = { thing: true, stuff: false };

/** The words of a text. @returns {Word[]} */
export function readWords(text) {
  return text.split(/[,，、\r\n]+/).map(readWord).filter((word) => word.name);
}

function readWord(text) {
  const [, names, kind] = /^(.*?)(?::\s*(thing|stuff))?\s*$/is.exec(text.trim());
  const [name = "", ...synonyms] = names.split("|").map((part) => part.trim().replace(/\s+/g, " ")).filter(Boolean);
  return { name, synonyms, is_thing: kind ? KINDS[kind.toLowerCase()] : null, path: [] };
}

/** A word as it is written. @param {Word} word */
export function writeWord(word) {
  const kind = word.is_thing === null ? "" : word.is_thing ? ":thing" : ":stuff";
  return [word.name, ...word.synonyms].join("|") + kind;
}

/** A word as the server takes it. @param {Word} word */
export function toEntry({ name, synonyms, is_thing, path }) {
  return { name, synonyms, path, ...(is_thing === null ? {} : { is_thing }) };
}

/** The key under which two spellings count as one name. */
export function sameWord(name) {
  return name.normalize("NFC").toLowerCase();
}

/** Of some new words, those whose name is not among the words, each once. */
export function unheard(added, words) {
  const known = new Set(words.map((word) => sameWord(word.name)));
  return added.filter(({ name }) => !known.has(sameWord(name)) && known.add(sameWord(name)));
}
