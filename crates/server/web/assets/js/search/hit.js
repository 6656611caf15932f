// What a hit shows wherever it stands: a link to its place, and its text in brief.

import { h } from "../core/dom.js";
import { documentPage } from "../core/paths.js";

/** The title as a link to the place in the document. */
export const hitLink = (hit) =>
  h("a", { class: "hit-name ellipsis", href: documentPage(hit.document, hit), title: hit.name }, hit.title || hit.name);

/** The text on a few lines: its headings stand above it, and line ends take room. */
export const brief = (text) => text.replace(/^#{1,6} .*$/gm, "").replace(/\s+/g, " ").trim() || text;
