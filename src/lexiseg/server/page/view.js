/** How the page and the segments look: sliders, theme, and keys that work everywhere. */

import { byId } from "./elements.js";
import { remember, remembered } from "./memory.js";

const SLIDERS = {
  opacity: (value) => `${Math.round(100 * value)} %`,
  outline: (value) => (value ? `${value} px` : "none"),
  labels: (value) => (value ? `${value} px` : "none"),
};
const SHORTCUTS = { o: ["opacity", 0.5], b: ["outline", 1.5], l: ["labels", 13] };

/**
 * @param {ReturnType<import("./store.js").createStore>} store
 * @param {() => void} askSoon called while the threshold moves
 */
export function createView(store, askSoon) {
  const { state, set } = store;
  const threshold = byId("threshold"), theme = byId("theme"), help = byId("help"), letters = byId("letters");

  for (const name of Object.keys(SLIDERS)) {
    byId(name).addEventListener("input", ({ target }) => set({ view: { ...state.view, [name]: target.valueAsNumber } }));
  }
  store.on(["view"], ({ view }) => {
    for (const [name, say] of Object.entries(SLIDERS)) {
      byId(name).value = view[name];
      byId(name).setAttribute("aria-valuetext", say(view[name]));
      byId(`${name}-value`).textContent = say(view[name]);
    }
  });
  threshold.addEventListener("input", () => {
    set({ threshold: threshold.valueAsNumber });
    askSoon();
  });
  byId("negatives").addEventListener("change", ({ target }) => {
    set({ negatives: target.checked });
    askSoon();
  });
  store.on(["threshold", "answer"], ({ answer }) => {
    byId("threshold-value").textContent = (state.threshold ?? answer?.score_threshold)?.toFixed(2) ?? "";
  });

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (remembered("theme") ?? (dark.matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    document.documentElement.dataset.theme = isDark() ? "dark" : "light";
    theme.setAttribute("aria-pressed", isDark());
  };
  theme.addEventListener("click", () => {
    remember("theme", isDark() ? "light" : "dark");
    showTheme();
  });
  dark.addEventListener("change", showTheme);
  showTheme();

  byId("help-open").addEventListener("click", () => help.showModal());
  letters.checked = remembered("letters") !== "off";
  letters.addEventListener("change", () => remember("letters", letters.checked ? "on" : "off"));
  const actions = {
    "?": () => help.showModal(),
    w: () => byId("add-words").focus(),
    f: () => byId("segments").querySelector(".row[tabindex='0']")?.focus(),
    d: () => byId("download").click(),
    p: () => byId("file").click(),
    Escape: () => set({ pinned: null }),
  };
  for (const [key, [name, usual]] of Object.entries(SHORTCUTS)) {
    actions[key] = () => set({ view: { ...state.view, [name]: state.view[name] ? 0 : usual } });
  }
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input:not([type=range], [type=checkbox]), select");
    const isOff = (event.key.length === 1 && !letters.checked) || document.querySelector("dialog[open]");
    if (isTyping || isOff || event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
}
