/** Elements of the document. */

/** The element with an id. */
export const byId = (id) => document.getElementById(id);

/**
 * Makes an element. What comes from people or the server goes in as text, never as HTML.
 *
 * @param {string} tag
 * @param {Object<string, *>} attributes `class`, `aria-label` ...; those that are null or false are left out; functions
 *   listen to the event of their name
 * @param {...(Node|string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A button of a list's item, which the Tab key passes by; see `roving`. */
export const button = (attributes, ...children) => make("button", { type: "button", tabindex: -1, ...attributes }, ...children);

/**
 * Makes a list one stop of the Tab key: arrows, Home and End go from one item to the next.
 *
 * @param {HTMLElement} list
 * @param {string} selector of what is focused in each item
 * @returns {(item: ?HTMLElement, focus?: boolean) => void} makes an item the stop, and focuses it
 */
export function roving(list, selector) {
  const items = () => [...list.querySelectorAll(selector)];
  const stop = (item, focus = true) => {
    for (const other of items()) other.tabIndex = other === item ? 0 : -1;
    if (focus) item?.focus();
  };
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  list.addEventListener("keydown", (event) => {
    const all = items(), at = all.indexOf(event.target);
    if (at < 0 || !(event.key in steps)) return;
    event.preventDefault();
    stop(all[Math.min(all.length - 1, Math.max(0, at + steps[event.key]))]);
  });
  list.addEventListener("focusin", (event) => event.target.matches(selector) && stop(event.target, false));
  return stop;
}
