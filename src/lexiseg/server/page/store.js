/**
 * The page's one store.
 *
 * @typedef {object} State
 * @property {?import("./opening.js").Picture} picture what is shown
 * @property {import("./words.js").Word[]} words what is asked, in the order of the chips
 * @property {?import("./asking.js").Answer} answer what was found in the picture; null before the first answer
 * @property {number} hovered number of the segment under the pointer or the keyboard's focus; 0 is none
 * @property {?string} hoveredWord a word whose segments are shown together
 * @property {?string} pinned key of the segment that is kept highlighted
 * @property {Set<string>} hidden keys of the segments that are not drawn
 * @property {{opacity: number, outline: number, labels: number}} view how segments are drawn
 * @property {?number} threshold least score of a segment; null is the model's own
 * @property {boolean} negatives whether words that were not asked compete
 * @property {string} busy what is being waited for, as a sentence; or ""
 * @property {boolean} isAsking whether a question has been asked for a moment
 * @property {string} pictureError what is wrong with a picture, as a sentence; or ""
 * @property {string} wordsError what is wrong with the words
 * @property {{bytes?: number}} limits what the server takes at most
 * @property {Array<{name: string, says: string}>} formats that the server writes
 */

/**
 * Makes a store.
 *
 * @param {State} state
 */
export function createStore(state) {
  const listeners = [];
  return {
    state,
    /** Changes some fields, and tells those who listen to one of them. */
    set(changes) {
      Object.assign(state, changes);
      for (const [fields, listener] of listeners) {
        if (fields.some((field) => field in changes)) listener(state);
      }
    },
    /** Calls a function now and after each change of one of some fields. */
    on(fields, listener) {
      listeners.push([fields, listener]);
      listener(state);
    },
  };
}
