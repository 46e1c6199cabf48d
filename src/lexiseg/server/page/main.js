/** The page: a picture and words in, segments out. */

import { createApi, told } from "./api.js";
import { createAsking } from "./asking.js";
import { createChips } from "./chips.js";
import { createDownloads } from "./downloads.js";
import { byId, make } from "./elements.js";
import { listenForPictures } from "./opening.js";
import { createSegments } from "./segments.js";
import { createStage, namesOf } from "./stage.js";
import { createStore } from "./store.js";
import { createView } from "./view.js";
import { readWords } from "./words.js";

const store = createStore({
  picture: null, words: [], answer: null, hovered: 0, hoveredWord: null, pinned: null, hidden: new Set(),
  view: { opacity: 0.5, outline: 1.5, labels: 13 }, threshold: null, negatives: true,
  busy: "", isAsking: false, pictureError: "", wordsError: "",
  limits: {}, formats: [],
});
const { state, set } = store;

const api = createApi({ connection: (sentence) => (byId("connection").textContent = sentence), token: askToken });
const asking = createAsking(store, api);
const segments = createSegments(store);
const stage = createStage(store, segments);
const chips = createChips(store, { changed: asking.ask, list: wordsOfList });
createView(store, asking.askSoon);
createDownloads(store, { segment: asking.segment, picture: stage.save });
listenForPictures(asking.show);

/** Asks for a token until one is given. */
function askToken(wasRefused) {
  const dialog = byId("token"), field = byId("token-field");
  byId("token-error").textContent = wasRefused ? "The server does not know this token." : "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(field.value);
      field.value = "";
    }, { once: true });
  });
}

async function wordsOfList(name) {
  try {
    const { words } = await api.json(`v1/vocabularies/${encodeURIComponent(name)}`);
    return words;
  } catch (error) {
    set({ wordsError: told(error) });
    return null;
  }
}

const pictureOf = async (example) => (await api.call(`v1/examples/${encodeURIComponent(example)}`)).blob();

/** Shows a drawn scene; its words are taken unless there are words of one's own. */
let suggested = "";
async function openExample({ name, words }) {
  if (state.words.length === 0 || JSON.stringify(state.words.map((word) => word.name)) === suggested) {
    chips.put(readWords(words.join(",")));
    suggested = JSON.stringify(state.words.map((word) => word.name));
  }
  try {
    await asking.show(await pictureOf(name), name);
  } catch (error) {
    set({ pictureError: told(error) });
  }
}

async function drawExample(example) {
  const picture = make("img", { alt: "", width: 104, height: 78 });
  const label = `Drawn scene: ${example.words.join(", ").replaceAll("|", " or ").replace(/:(thing|stuff)/g, "")}`;
  byId("examples").append(make("li", {},
    make("button", { type: "button", class: "example", "aria-label": label, click: () => openExample(example) }, picture)));
  picture.src = URL.createObjectURL(await pictureOf(example.name));
}

/** Asks the server what it has; each part of the page comes as soon as its answer. */
async function meetServer() {
  const meet = async (name, use) => use(await api.json(`v1/${name}`));
  await Promise.all([
    meet("limits", (limits) => set({ limits })),
    meet("formats", ({ formats }) => set({ formats })),
    meet("models", ({ models: [model] }) => {
      byId("model").textContent = `${model.name} · ${model.system} on ${model.device}`;
      byId("note").textContent = model.note && `The model here is ${model.name}. ${model.note}`;
    }),
    meet("vocabularies", ({ vocabularies }) => {
      const options = vocabularies.map(({ name, words, says }) =>
        make("option", { value: name, title: says }, `${name} (${words} words)`));
      byId("lists").append(...options);
    }),
    meet("examples", ({ examples }) => Promise.all(examples.map(drawExample))),
  ]).catch((error) => (byId("connection").textContent = told(error)));
}

store.on(["picture"], ({ picture }) => {
  if (picture && byId("empty").contains(document.activeElement)) byId("frame").focus({ preventScroll: true });
  byId("empty").hidden = Boolean(picture);
  byId("stage").classList.toggle("full", Boolean(picture));
  byId("caption").hidden = !picture;
  byId("picture-name").textContent = picture?.name ?? "";
});
store.on(["busy", "isAsking"], ({ busy, isAsking }) => {
  byId("busy").textContent = busy || (isAsking ? "Looking for the words" : "");
  byId("found").setAttribute("aria-busy", isAsking);
});
store.on(["pictureError"], ({ picture, pictureError }) => {
  byId("picture-error").textContent = byId("new-picture-error").textContent = pictureError;
  if (pictureError) byId(picture ? "new-picture-error" : "picture-error").scrollIntoView({ block: "nearest" });
});
store.on(["picture", "answer", "busy"], ({ picture, answer }) => {
  const parts = [
    picture?.width && `${picture.width} × ${picture.height}`,
    picture?.seconds && `looked at in ${picture.seconds.toFixed(2)} s`,
    answer && `answered in ${Math.round(answer.took)} ms by ${answer.model}`,
    picture?.width && !picture.drawn && "this browser can't show it",
  ];
  byId("times").textContent = parts.filter(Boolean).join(" · ");
});
store.on(["answer", "threshold"], ({ answer, threshold }) => {
  byId("found").hidden = byId("view").hidden = byId("download").disabled = !answer;
  byId("nothing").hidden = !answer || answer.segments.length > 0;
  byId("found-count").textContent = answer?.segments.length || "";
  if (answer && threshold === null) byId("threshold").value = answer.score_threshold;
  byId("results").textContent = !answer ? "" : answer.segments.length
    ? `${answer.segments.length} segments found: ${namesOf(answer)}.`
    : "Nothing was found.";
});

byId("close").addEventListener("click", () => {
  asking.close();
  byId("file").focus();
});
for (const button of document.querySelectorAll("dialog .close")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
byId("token").addEventListener("cancel", (event) => event.preventDefault());
await meetServer();
