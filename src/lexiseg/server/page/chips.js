/** The words, as chips: added, edited, removed, made things or stuff; by mouse or by keyboard. */

import { cssOf, withColours } from "./colours.js";
import { button, byId, make, roving } from "./elements.js";
import { readWords, unheard, writeWord } from "./words.js";

/**
 * @param {ReturnType<import("./store.js").createStore>} store
 * @param {{changed: () => void, list: (name: string) => Promise<import("./words.js").Word[]>}} actions called after each
 *   change; gives the words of a built-in list
 */
export function createChips(store, { changed, list }) {
  const { state, set } = store;
  const chips = byId("chips"), input = byId("add-words"), lists = byId("lists");
  const stop = roving(chips, ".name");
  let before = null; // the words that the last "clear" or list took away

  function put(words, { undo = null, focus = null } = {}) {
    before = undo;
    set({ words: withColours(words), hoveredWord: null, wordsError: "" });
    if (focus !== null) stop(chips.querySelectorAll(".name")[Math.min(focus, words.length - 1)] ?? null);
    if (focus !== null && words.length === 0) input.focus();
    changed();
  }

  function add(text) {
    const given = readWords(text);
    const fresh = unheard(given, state.words);
    input.value = "";
    if (fresh.length > 0) put([...state.words, ...fresh]);
    else if (given.length > 0) set({ wordsError: `"${given[0].name}" is among the words already.` });
  }

  function remove(at) {
    put(state.words.filter((_, place) => place !== at), { focus: Math.max(0, at) });
  }

  function replace(at, ...words) {
    const others = state.words.filter((_, place) => place !== at);
    put([...state.words.slice(0, at), ...unheard(words, others), ...state.words.slice(at + 1)], { focus: at });
  }

  /** Whether a word is a thing: as it says, or as the server took it; null before that. */
  function kindOf({ name, is_thing }) {
    return is_thing ?? state.answer?.words.find((told) => told.name === name)?.is_thing ?? null;
  }

  function turn(at) {
    replace(at, { ...state.words[at], is_thing: kindOf(state.words[at]) === false });
  }

  function edit(at) {
    const word = state.words[at], written = writeWord(word);
    let isOver = false;
    const end = (value) => {
      if (isOver) return;
      isOver = true;
      const [first, ...more] = readWords(value ?? written);
      if (value === null || value === written) drawAll(at);
      else if (!first) remove(at);
      else replace(at, { ...first, ...(first.name === word.name && { slot: word.slot, path: word.path }) }, ...more);
    };
    const field = make("input", {
      class: "edit", "aria-label": `Edit ${word.name}: name, | and synonyms, :thing or :stuff`, value: written,
      blur: () => end(field.value),
      keydown: (event) => {
        event.stopPropagation();
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault(); // Enter would press the button that is focused next
        end(event.key === "Enter" ? field.value : null);
      },
    });
    field.size = Math.max(8, written.length);
    chips.children[at].replaceChildren(field);
    field.select();
    field.focus();
  }

  function draw(word, at) {
    const keys = (event) => {
      if (event.key === "Delete" || event.key === "Backspace") remove(at);
      else if (event.key === "t") turn(at);
      else return;
      event.preventDefault();
    };
    const hover = (name) => () => set({ hoveredWord: name });
    const synonyms = word.synonyms.length ? [make("span", { class: "synonyms" }, ` ${word.synonyms.join(", ")}`)] : [];
    return make(
      "li", { class: "chip", mouseenter: hover(word.name), mouseleave: hover(null) },
      button({ class: "kind", click: () => turn(at) }, make("span", { class: "swatch" })),
      button({
        class: "name", "aria-describedby": "chip-keys",
        click: () => edit(at), keydown: keys, focus: hover(word.name), blur: hover(null),
      }, word.name, ...synonyms),
      button({ class: "remove", "aria-label": `Remove ${word.name}`, click: () => remove(at) }, "×"),
    );
  }

  function drawAll(focus = null) {
    chips.replaceChildren(...state.words.map(draw));
    mark();
    stop(chips.querySelectorAll(".name")[focus ?? 0] ?? null, focus !== null);
  }

  /** Shows what an answer tells of the words: their kind, and whether they were found. */
  function mark() {
    const found = new Set(state.answer?.segments.map(({ name }) => name));
    state.words.forEach((word, at) => {
      const chip = chips.children[at], kind = chip.querySelector(".kind");
      if (!kind) return; // it is being edited
      const isThing = kindOf(word);
      const is = isThing === null ? "not known yet" : isThing ? "a thing" : "stuff";
      kind.setAttribute("aria-label", `${word.name}: ${is}. Change to ${isThing === false ? "thing" : "stuff"}`);
      kind.title = isThing === null ? "Thing or stuff" : `${is[0].toUpperCase()}${is.slice(1)}`;
      chip.classList.toggle("stuff", isThing === false);
      chip.classList.toggle("found", found.has(word.name));
      if (word.slot !== undefined) chip.style.setProperty("--colour", cssOf(word.slot));
    });
  }

  byId("words-form").addEventListener("submit", (event) => {
    event.preventDefault();
    add(input.value);
  });
  input.addEventListener("input", () => {
    if (/[,，、]/.test(input.value)) add(input.value);
  });
  input.addEventListener("paste", (event) => {
    const text = event.clipboardData.getData("text/plain");
    if (!/[,，、\n]/.test(text)) return;
    event.preventDefault();
    add(input.value + text);
  });
  input.addEventListener("keydown", (event) => {
    const isAtStart = input.selectionEnd === 0;
    if (isAtStart && (event.key === "Backspace" || event.key === "ArrowLeft") && state.words.length) {
      event.preventDefault();
      stop([...chips.querySelectorAll(".name")].at(-1));
    }
  });
  byId("clear").addEventListener("click", () => {
    put([], { undo: state.words, focus: 0 });
  });
  byId("undo").addEventListener("click", () => {
    put(before);
    input.focus();
  });
  byId("lists-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = await list(lists.value);
    if (words) put(words, { undo: state.words });
  });

  store.on(["words"], () => {
    drawAll();
    byId("clear").hidden = state.words.length === 0;
    byId("undo").hidden = !before;
    byId("count").textContent = state.words.length > 1 ? state.words.length : "";
  });
  store.on(["answer"], mark);
  store.on(["wordsError"], ({ wordsError }) => (byId("words-error").textContent = wordsError));
  return { put };
}
