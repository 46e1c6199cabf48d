/** What the browser remembers: the token as long as the tab is open, all else for good; until a reload if that is blocked. */

const here = new Map();

const placeOf = (key) => (key === "token" ? sessionStorage : localStorage);

/** What was remembered under a key. @returns {?string} */
export function remembered(key) {
  try {
    return placeOf(key).getItem(key);
  } catch {
    return here.get(key) ?? null;
  }
}

/** Remembers a text under a key. */
export function remember(key, text) {
  try {
    placeOf(key).setItem(key, text);
  } catch {
    here.set(key, text);
  }
}
