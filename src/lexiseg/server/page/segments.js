/** The list of segments: hovered, pinned and hidden here as on the picture; a pinned one shows its runner-ups and path. */

import { cssOf } from "./colours.js";
import { button, byId, make, roving } from "./elements.js";

const MOST_GUESSES = 5, LEAST_GUESSES = 2; // fewer where the others' scores would be written as 0.00

const percent = (share) => (share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`);

/** A segment's share of the picture, as text. */
export function areaOf({ area }, { width, height }) {
  return percent(area / (width * height));
}

/** Whether a segment is drawn: not hidden, and not below a threshold that was raised since the answer. */
export function isShown(segment, { hidden, threshold }) {
  return !hidden.has(segment.key) && segment.score >= (threshold ?? 0);
}

/** Things before stuff, each by falling score. */
function inOrder(segments) {
  return [...segments].sort((a, b) => b.is_thing - a.is_thing || b.score - a.score);
}

/** @param {ReturnType<import("./store.js").createStore>} store */
export function createSegments(store) {
  const { state, set } = store;
  const list = byId("segments");
  const stop = roving(list, ".row");
  let items = new Map(); // by number of the segment

  function pin(key) {
    set({ pinned: state.pinned === key ? null : key });
  }

  function hide(key) {
    const hidden = new Set(state.hidden);
    if (!hidden.delete(key)) hidden.add(key);
    set({ hidden });
  }

  function draw(segment) {
    const { number, key, name, score } = segment;
    const keys = (event) => {
      if (event.key === " " || event.key === "h") hide(key);
      else if (event.key === "Enter") pin(key);
      else return;
      event.preventDefault();
    };
    const item = make(
      "li", { class: "segment", mouseenter: () => set({ hovered: number }), mouseleave: () => set({ hovered: 0 }) },
      button({
        class: "row", "aria-describedby": "segment-keys", keydown: keys,
        keyup: (event) => event.key === " " && event.preventDefault(), // no click follows, in any browser
        click: () => pin(key), focus: () => set({ hovered: number }), blur: () => set({ hovered: 0 }),
      },
        make("span", { class: "swatch" }), make("span", { class: "name" }, name),
        make("span", { class: "state unseen" }), make("span", { class: "figure" }, score.toFixed(2)),
        make("span", { class: "figure area" }, areaOf(segment, state.answer))),
      button({ class: "eye", "aria-label": `Hide ${name}`, click: () => hide(key) }),
    );
    item.classList.toggle("stuff", !segment.is_thing);
    item.style.setProperty("--colour", cssOf(state.answer.slots.get(name)));
    item.dataset.key = key;
    return item;
  }

  function details({ guesses, path, box }) {
    const figure = (score) => make("span", { class: "figure" }, score.toFixed(2));
    const bar = ({ name, score }) => {
      const fill = make("span", { class: "fill" });
      fill.style.setProperty("--share", score);
      return make("li", {}, make("span", { class: "name" }, name), make("span", { class: "bar" }, fill), figure(score));
    };
    const steps = path.map(({ name, score }) => make("li", {}, `${name} `, figure(score)));
    const likely = guesses.slice(0, MOST_GUESSES).filter(({ score }, i) => i < LEAST_GUESSES || score >= 0.005);
    const [x, y, width, height] = box;
    return make(
      "div", { class: "details" },
      make("ol", { class: "guesses", "aria-label": "Likeliest words" }, ...likely.map(bar)),
      ...(steps.length ? [make("ol", { class: "path", "aria-label": "Place in the taxonomy" }, ...steps)] : []),
      make("p", { class: "faint" }, `${width} × ${height} pixels at ${x}, ${y}`),
    );
  }

  function drawAll() {
    const focused = list.contains(document.activeElement) ? document.activeElement.closest(".segment") : null;
    const at = [...list.children].indexOf(focused);
    const segments = inOrder(state.answer?.segments ?? []);
    items = new Map(segments.map((segment) => [segment.number, draw(segment)]));
    list.replaceChildren(...items.values());
    mark();
    const same = segments.findIndex(({ key }) => key === focused?.dataset.key);
    const place = same >= 0 ? same : Math.min(Math.max(at, 0), segments.length - 1);
    stop(list.children[place]?.querySelector(".row") ?? null, at >= 0); // an answer does not move the focus
  }

  function mark() {
    for (const segment of state.answer?.segments ?? []) {
      const { number, key, name } = segment;
      const item = items.get(number), isPinned = key === state.pinned, isHidden = state.hidden.has(key);
      item.classList.toggle("lit", number === state.hovered || name === state.hoveredWord);
      item.classList.toggle("away", !isShown(segment, state));
      item.classList.toggle("pinned", isPinned);
      item.querySelector(".row").setAttribute("aria-expanded", isPinned);
      item.querySelector(".state").textContent = isHidden ? "hidden" : "";
      const eye = item.querySelector(".eye");
      eye.setAttribute("aria-pressed", isHidden);
      eye.title = isHidden ? "Show" : "Hide";
      const shown = item.querySelector(".details");
      if (isPinned && !shown) item.append(details(segment));
      if (!isPinned) shown?.remove();
    }
    byId("show-all").hidden = !state.answer?.segments.some(({ key }) => state.hidden.has(key));
  }

  byId("show-all").addEventListener("click", () => {
    set({ hidden: new Set() });
    list.querySelector(".row[tabindex='0']")?.focus();
  });
  store.on(["answer"], drawAll);
  store.on(["hovered", "hoveredWord", "pinned", "hidden", "threshold"], mark);
  return {
    pin,
    hide,
    /** Brings the row of a segment into view. */
    reveal: (number) => items.get(number)?.scrollIntoView({ block: "nearest" }),
  };
}
