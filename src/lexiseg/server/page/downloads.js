/** What can be taken home: every format of the server as a ZIP, and the picture as it is shown. */

import { told } from "./api.js";
import { byId, make } from "./elements.js";

const USUAL = ["overlay", "panoptic", "json"];

/**
 * @param {ReturnType<import("./store.js").createStore>} store
 * @param {{segment: Function, picture: () => Promise<Blob>}} from asks the server; draws the picture as it is shown
 */
export function createDownloads(store, { segment, picture }) {
  const { state } = store;
  const dialog = byId("downloads"), error = byId("download-error"), zip = byId("save-zip");
  let isSaving = false;
  const chosen = () => [...dialog.querySelectorAll("input:checked")].map(({ value }) => value);

  byId("download").addEventListener("click", () => {
    error.textContent = "";
    dialog.showModal();
  });
  byId("formats").addEventListener("change", showWork);
  byId("downloads-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isSaving) saveAs("zip", async () => (await segment({ formats: chosen() }, { accept: "application/zip" })).blob());
  });
  byId("save-shown").addEventListener("click", () => saveAs("shown.png", picture));

  async function saveAs(suffix, write) {
    const name = `${state.picture.name.replace(/\.[^.]*$/, "").replace(/\s+/g, "-") || "picture"}.${suffix}`;
    error.textContent = "";
    isSaving = true;
    showWork();
    try {
      save(await write(), name);
    } catch (refusal) {
      error.textContent = told(refusal);
    }
    isSaving = false;
    showWork();
  }

  function showWork() {
    zip.disabled = chosen().length === 0;
    zip.setAttribute("aria-disabled", isSaving); // it keeps the focus
    zip.textContent = isSaving ? "Saving …" : "Save as ZIP";
    byId("saving").textContent = isSaving ? "Writing the files." : "";
  }

  store.on(["formats"], ({ formats }) => {
    byId("formats").replaceChildren(...formats.map(({ name, says }) =>
      make("li", {}, make("label", {},
        make("input", { type: "checkbox", value: name, checked: USUAL.includes(name) }),
        make("span", {}, make("b", {}, name), make("span", { class: "faint" }, ` ${says}`))))));
    showWork();
  });
}

function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
