// Icons as SVG, drawn with the text's colour.
//
//   icon("search")          20 px, hidden from assistive technology: the control around it has the words
//   icon("search", 16)      of another size
//   iconButton(name, label, props?)   a button of the icon alone, with its label as name and tooltip
//
// Names: see PATHS.

import { h, svg } from "./dom.js";

/** Strokes on a field of 24 by 24. */
const PATHS = {
  alert: "M12 4 2.5 20h19L12 4zM12 10v4M12 17v.2",
  back: "M19 12H5M11 6l-6 6 6 6",
  chart: "M4 4v16h16M8 15l4-5 3 3 5-7",
  check: "M5 12.5l4.5 4.5L19 7",
  chevron: "M6 9l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  document: "M6 3h8l5 5v13H6zM14 3v5h5",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  down: "M7 13l5 7c2 0 2-1.5 1.5-3L13 15h5c1.2 0 2-1 1.7-2.2l-1.5-6.5C18 5.4 17.3 5 16.5 5H7zM7 5H4v8h3",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  external: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  filter: "M4 6h16M7 12h10M10 18h4",
  folder: "M3 6h6l2 2h10v11H3z",
  key: "M14 10a4 4 0 1 0-4 4 4 4 0 0 0 4-4zM13 13l7 7M17 17l2-2",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M5 12h.2M12 12h.2M19 12h.2",
  pause: "M8 5v14M16 5v14",
  play: "M7 5l12 7-12 7z",
  plus: "M12 5v14M5 12h14",
  refresh: "M19 12a7 7 0 1 1-2-5l2 2M19 4v5h-5",
  search: "M4 11a7 7 0 1 0 14 0 7 7 0 1 0-14 0M16 16l5 5",
  send: "M12 20V5M6 11l6-6 6 6",
  stop: "M6 6h12v12H6z",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  undo: "M9 7L4 12l5 5M4 12h11a5 5 0 0 1 0 10h-2",
  up: "M7 11l5-7c2 0 2 1.5 1.5 3L13 9h5c1.2 0 2 1 1.7 2.2l-1.5 6.5c-.2.9-.9 1.3-1.7 1.3H7zM7 19H4v-8h3",
  upload: "M12 20V9M7 13l5-5 5 5M5 4h14",
};

/** The icon of a name. */
export function icon(name, size = 20) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", width: size, height: size, "aria-hidden": "true" },
    svg("path", { d: PATHS[name] }));
}

/** A button that shows an icon alone. */
export const iconButton = (name, label, props = {}) =>
  h("button", { type: "button", "aria-label": label, title: label, ...props, class: ["button icon quiet", props.class] }, icon(name));
