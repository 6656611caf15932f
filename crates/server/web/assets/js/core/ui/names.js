// Names in a field, separated by commas, and chips that put known ones in and take them out.

import { h } from "../dom.js";

/** The names in a text, each once. */
export const namesIn = (text) => [...new Set(text.split(/[,，、\n]/).map((name) => name.trim()).filter(Boolean))];

/** A chip for each of the `known` names of `input`, or null where there are none. */
export function nameChips(input, known) {
  if (known.length === 0) return null;
  const toggle = (name) => {
    const all = namesIn(input.value);
    input.value = (all.includes(name) ? all.filter((one) => one !== name) : [...all, name]).join(", ");
    mark();
  };
  const chips = known.map((name) => h("button", { type: "button", class: "chip", onClick: () => toggle(name) }, name));
  const mark = () => {
    const all = namesIn(input.value);
    for (const chip of chips) chip.setAttribute("aria-pressed", String(all.includes(chip.textContent)));
  };
  input.addEventListener("input", mark);
  mark();
  return h("div", { class: "row known-names" }, chips);
}
