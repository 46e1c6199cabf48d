/**
 * From a picture and words to segments: a picture is encoded once, then every change of words or threshold asks it again.
 *
 * @typedef {object} Segment as the server tells it, with
 * @property {number} number its place in the answer, counted from 1; what the id map holds here
 * @property {string} key what stays the same if a later answer has the same segment
 *
 * @typedef {object} Answer
 * @property {Segment[]} segments
 * @property {import("./words.js").Word[]} words as the server read them, in order
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array|Uint16Array} numbers the id map: numbers of segments, row by row
 * @property {Map<string, number>} slots of names: their places in the palette
 * @property {string} model
 * @property {number} took milliseconds from the question to the decoded answer
 */

import { told } from "./api.js";
import { withColours } from "./colours.js";
import { decodeIdMap } from "./id_map.js";
import { openPicture } from "./opening.js";
import { toEntry } from "./words.js";

const LATE = 300; // milliseconds after which a question is said to be asked
const HANDLE_GONE = 410;

/** @param {ReturnType<import("./store.js").createStore>} store @param {ReturnType<import("./api.js").createApi>} api */
export function createAsking(store, api) {
  const { state, set } = store;
  let opening = new AbortController(), asking = new AbortController();
  let isAwaited = false, isStale = false; // an answer; the question that it is of
  let late = 0;
  let before = {}; // what was shown before a picture began to be opened

  /** Drops the question that is asked. @returns {AbortSignal} of the next one */
  function drop() {
    clearTimeout(late);
    isAwaited = isStale = false;
    asking.abort();
    asking = new AbortController();
    return asking.signal;
  }

  /** Shows a picture, lets the server encode it, and asks it for the words; what can't be opened leaves all as it was. */
  async function show(blob, name) {
    opening.abort();
    drop();
    opening = new AbortController();
    const { signal } = opening;
    if (!state.busy) before = shown(state);
    set({ pictureError: "", busy: "Opening the picture", isAsking: false });
    try {
      const picture = await openPicture(blob, name, state.limits);
      if (signal.aborted) return;
      set({ picture, answer: null, hovered: 0, pinned: null, hidden: new Set(), busy: "Looking at the picture" });
      await handleOf(picture, signal);
      if (signal.aborted) return;
      set({ picture, busy: "" }); // its size may be known since then
    } catch (error) {
      if (signal.aborted) return;
      set({ ...before, busy: "", pictureError: told(error) });
    }
    await answer();
  }

  /** Takes the picture away. */
  function close() {
    opening.abort();
    drop();
    set({ picture: null, answer: null, hovered: 0, pinned: null, busy: "", isAsking: false, pictureError: "" });
  }

  /** The server's handle of a picture, which is encoded if it has none. */
  async function handleOf(picture, signal) {
    if (picture.handle === null) {
      picture.encoding ??= encode(picture, signal).finally(() => (picture.encoding = null));
      picture.handle = await picture.encoding;
    }
    return picture.handle;
  }

  async function encode(picture, signal) {
    const body = new FormData();
    body.append("picture", picture.blob, picture.name);
    const { handle, width, height, seconds } = await api.json("v1/encode", { body, signal });
    Object.assign(picture, { width, height, seconds });
    return handle;
  }

  /**
   * Calls /v1/segment with the present question.
   *
   * @param {object} more fields of the request
   * @param {{signal?: AbortSignal, accept?: string}} [options]
   * @returns {Promise<Response>}
   */
  async function segment(more, options = {}) {
    const { picture, words, threshold, negatives } = state;
    const question = { vocabulary: words.map(toEntry), score_threshold: threshold, negatives, ...more };
    for (let again = false; ; again = true) {
      const handle = await handleOf(picture, opening.signal);
      try {
        return await api.call("v1/segment", { body: { handle, ...question }, ...options });
      } catch (error) {
        if (error.status !== HANDLE_GONE || again) throw error;
        picture.handle = null; // the server keeps so many pictures; it looks at this one again
      }
    }
  }

  async function answer() {
    const signal = drop();
    if (!state.picture || state.busy) return;
    if (state.words.length === 0) {
      set({ answer: null, wordsError: "", isAsking: false });
      return;
    }
    isAwaited = true;
    const started = performance.now();
    late = setTimeout(() => set({ isAsking: true }), LATE);
    try {
      const { id_map: idMap, ...found } = await (await segment({}, { signal })).json();
      const map = await decodeIdMap(idMap, found.segments.map(({ id }) => id));
      if (signal.aborted) return;
      const segments = found.segments.map((one, place) => ({ ...one, number: place + 1, key: keyOf(one) }));
      if (state.words.some(({ slot }) => slot === undefined)) {
        set({ words: withColours(state.words, new Set(segments.map(({ name }) => name))) });
      }
      const slots = new Map(found.words.map(({ name }, place) => [name, state.words[place].slot]));
      const took = performance.now() - started;
      set({ answer: { ...found, ...map, segments, slots, took }, hovered: 0, wordsError: "" });
      performance.measure("lexiseg:answer", { start: started });
    } catch (error) {
      if (!signal.aborted) set({ wordsError: told(error) });
    }
    if (signal.aborted) return;
    const isNext = isStale;
    drop();
    set({ isAsking: false });
    if (isNext) await answer();
  }

  return {
    show,
    close,
    segment,
    /** Asks with the words and the threshold of now; older questions are dropped. */
    ask: answer,
    /** Asks now, or next where an answer is about to come: a slider on its way asks as often as the server answers. */
    askSoon() {
      if (isAwaited && !state.isAsking) isStale = true;
      else answer();
    },
  };
}

function shown({ picture, answer, pinned, hidden }) {
  return { picture, answer, pinned, hidden };
}

function keyOf({ name, box }) {
  return `${name} ${box.join(" ")}`;
}
