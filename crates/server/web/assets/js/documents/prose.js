// Parsed text as it is, made easier to read: headings stand out, tables keep their columns. Nothing is interpreted; every
// character of the text is there, as text.

import { h } from "../core/dom.js";
import { shorten } from "../core/format.js";

/** Longest stretch of a table in one box. */
const ROWS = 400;

/** The lines of a text as nodes. */
export function lines(text) {
  const out = [];
  let table = [];
  let plain = [];
  const endTable = () => {
    if (table.length > 0) out.push(h("div", { class: "text-table", tabindex: "0", role: "region", "aria-label": shorten(table[0], 80) }, table.join("\n")));
    table = [];
  };
  const endPlain = () => {
    if (plain.length > 0) out.push(h("div", {}, plain.join("\n")));
    plain = [];
  };
  for (const line of text.split("\n")) {
    if (line.startsWith("|")) {
      endPlain();
      table.push(line);
      if (table.length >= ROWS) endTable();
    } else if (/^#{1,6} /.test(line)) {
      endTable();
      endPlain();
      out.push(h("div", { class: "text-heading" }, line));
    } else {
      endTable();
      plain.push(line);
    }
  }
  endTable();
  endPlain();
  return out;
}
