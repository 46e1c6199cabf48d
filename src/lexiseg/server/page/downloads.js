/** What can be taken home: every format of the server as a ZIP, and the picture as it is shown. */

import { byId, make } from "./elements.js";

const USUAL = ["overlay", "panoptic", "json"];

/**
 * @param {ReturnType<import("./store.js").createStore>} store
 * @param {{segment: Function, picture: () => Promise<Blob>}} from asks the server; draws the picture as it is shown
 */
export function createDownloads(store, { segment, picture }) {
  const { state } = store;
  const dialog = byId("downloads"), error = byId("download-error"), zip = byId("save-zip");
  const chosen = () => [...dialog.querySelectorAll("input:checked")].map(({ value }) => value);

  byId("download").addEventListener("click", () => {
    error.textContent = "";
    dialog.showModal();
  });
  byId("formats").addEventListener("change", () => (zip.disabled = chosen().length === 0));
  byId("downloads-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    zip.disabled = true;
    error.textContent = "";
    try {
      const response = await segment({ formats: chosen() }, { accept: "application/zip" });
      save(await response.blob(), `${stem()}.zip`);
    } catch (refusal) {
      error.textContent = refusal.message;
    }
    zip.disabled = false;
  });
  byId("save-shown").addEventListener("click", async () => save(await picture(), `${stem()}.shown.png`));

  const stem = () => state.picture.name.replace(/\.[^.]*$/, "").replace(/\s+/g, "-") || "picture";

  store.on(["formats"], ({ formats }) => {
    byId("formats").replaceChildren(...formats.map(({ name, says }) =>
      make("li", {}, make("label", {},
        make("input", { type: "checkbox", value: name, checked: USUAL.includes(name) }),
        make("span", {}, make("b", {}, name), make("span", { class: "faint" }, ` ${says}`))))));
    zip.disabled = chosen().length === 0;
  });
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
