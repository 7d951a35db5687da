// Keys and buttons.  Without this script everything is there to read: files open and close by
// themselves.
"use strict";

const files = () => [...document.querySelectorAll("details.file")].filter((file) => !file.hidden);
const said = document.getElementById("said");
const filter = document.getElementById("filter");

function say(text) {
  said.textContent = text;
}

function go(step) {
  const shown = files();
  if (!shown.length) return;
  const inside = document.activeElement.closest("details.file");
  const at = shown.indexOf(inside);
  const last = shown.length - 1;
  const next = at < 0 ? (step > 0 ? 0 : last) : Math.min(last, Math.max(0, at + step));
  shown[next].open = true;
  shown[next].querySelector("summary").focus();
  shown[next].scrollIntoView({ block: "start" });
  say(`File ${next + 1} of ${shown.length}`);
}

function openAll(open) {
  for (const file of files()) file.open = open;
  say(open ? "All files opened" : "All files closed");
}

function narrow() {
  const wanted = filter.value.trim().toLowerCase();
  for (const file of document.querySelectorAll("details.file")) {
    file.hidden = !file.dataset.path.toLowerCase().includes(wanted);
  }
  say(`${files().length} shown`);
}

const actions = {
  n: () => go(1),
  j: () => go(1),
  p: () => go(-1),
  k: () => go(-1),
  o: () => openAll(true),
  c: () => openAll(false),
  "/": () => filter.focus(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === filter) {
    if (event.key === "Escape") {
      filter.value = "";
      narrow();
      filter.blur();
    }
    return;
  }
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

for (const button of document.querySelectorAll("button[data-key]")) {
  button.addEventListener("click", () => actions[button.dataset.key]());
}
filter.addEventListener("input", narrow);
document.querySelector(".tools").hidden = false;
