// A list of any length: only the rows in sight are elements.

import { h } from "../dom.js";
import { throttleFrame } from "../format.js";

/** Rows that are made beyond the sight on each side. */
const BEYOND = 6;
/** Tallest element that browsers lay out exactly, in pixels. */
const TALLEST = 8_000_000;

/**
 * A list of `count` rows, each `rowHeight` pixels high; `render(index)` gives a row's element. The element scrolls and
 * needs a height.
 */
export function virtualList({ count, rowHeight, render, label }) {
  const rows = new Map();
  const space = h("div", { class: "virtual-space", role: "presentation" });
  const element = h("div", { class: "virtual", role: "list", tabindex: "0", "aria-label": label }, space);

  const size = () => space.style.setProperty("height", `${Math.min(TALLEST, count * rowHeight)}px`);
  const draw = () => {
    const first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - BEYOND);
    const last = Math.min(count, Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + BEYOND);
    for (const [index, row] of rows) {
      // A row that has the focus stays, or the keyboard would lose its place.
      if ((index < first || index >= last) && !row.contains(document.activeElement)) {
        row.remove();
        rows.delete(index);
      }
    }
    for (let index = first; index < last; index += 1) {
      if (rows.has(index)) continue;
      const row = render(index);
      row.classList.add("virtual-row");
      row.style.setProperty("top", `${index * rowHeight}px`);
      row.style.setProperty("height", `${rowHeight}px`);
      row.setAttribute("role", "listitem");
      row.setAttribute("aria-setsize", count);
      row.setAttribute("aria-posinset", index + 1);
      const after = [...rows.keys()].filter((i) => i > index).sort((a, b) => a - b)[0];
      space.insertBefore(row, after === undefined ? null : rows.get(after));
      rows.set(index, row);
    }
  };
  element.addEventListener("scroll", throttleFrame(draw), { passive: true });
  new ResizeObserver(throttleFrame(draw)).observe(element);
  size();
  return {
    element,
    /** Makes all rows anew. */
    setCount(n) {
      count = n;
      for (const row of rows.values()) row.remove();
      rows.clear();
      size();
      draw();
    },
    scrollTo(index) {
      element.scrollTop = Math.max(0, index * rowHeight - element.clientHeight / 2);
    },
  };
}
