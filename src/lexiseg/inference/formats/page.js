"use strict";
// Joins picture and list: what is pointed at in one is marked in the other, a click opens, a tick hides.
const svg = document.querySelector("svg");
const paths = new Map([...document.querySelectorAll("path")].map((path) => [path.dataset.id, path]));
const rows = new Map([...document.querySelectorAll("li")].map((row) => [row.dataset.id, row]));
const button = (id) => rows.get(id).querySelector(".row");
const tick = (id) => rows.get(id).querySelector("input");
let pointed = null;

function draw() {
  let busy = false;
  for (const [id, row] of rows) {
    const isOpen = button(id).getAttribute("aria-expanded") === "true";
    const isOn = tick(id).checked && (id === pointed || isOpen);
    busy ||= isOn;
    row.classList.toggle("on", isOn);
    row.classList.toggle("off", !tick(id).checked);
    row.querySelector(".more").hidden = !isOpen;
    paths.get(id).classList.toggle("on", isOn);
    paths.get(id).classList.toggle("off", !tick(id).checked);
  }
  svg.classList.toggle("busy", busy);
}

function point(id) {
  pointed = id;
  draw();
}

function open(id, isOpen) {
  button(id).setAttribute("aria-expanded", String(isOpen));
  draw();
}

const isOpen = (id) => button(id).getAttribute("aria-expanded") === "true";

for (const [id, path] of paths) {
  path.addEventListener("pointerenter", () => point(id));
  path.addEventListener("pointerleave", () => point(null));
  path.addEventListener("click", () => {
    open(id, !isOpen(id));
    rows.get(id).scrollIntoView({ block: "nearest" });
  });
}
for (const [id, row] of rows) {
  row.addEventListener("pointerenter", () => point(id));
  row.addEventListener("pointerleave", () => point(null));
  row.addEventListener("focusin", () => point(id));
  row.addEventListener("focusout", () => point(null));
  button(id).addEventListener("click", () => open(id, !isOpen(id)));
  tick(id).addEventListener("change", draw);
}
document.querySelector("#opacity").addEventListener("input", (event) => {
  svg.style.setProperty("--opacity", event.target.value);
});
document.querySelector("#outlines").addEventListener("change", (event) => {
  svg.classList.toggle("plain", !event.target.checked);
});
document.querySelector("#all").addEventListener("change", (event) => {
  for (const id of rows.keys()) tick(id).checked = event.target.checked;
  draw();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const id of rows.keys()) open(id, false);
});
draw();
