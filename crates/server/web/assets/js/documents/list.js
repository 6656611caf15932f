// The list: only the rows in sight are elements, only their pages are fetched.

import { $, h, plainClick } from "../core/dom.js";
import { ago, dateTime, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { menu } from "../core/ui.js";
import { virtualList } from "../core/ui/list.js";
import { count, groupsText, stateBadge, summary, tagChips } from "./parts.js";

const ROW = 54;
/** How long a row that is to have the focus may take to come. */
const WAIT_MS = 3_000;
/** Columns of the wide list; those with a `sort` order it. */
const COLUMNS = [
  { id: "name", sort: "name" },
  { id: "state" },
  { id: "format" },
  { id: "pages", sort: "pages", number: true },
  { id: "chunks", sort: "chunks", number: true },
  { id: "tags" },
  { id: "groups" },
  { id: "version", number: true },
  { id: "updated", sort: "updated" },
];

/**
 * The list of `store`. `href(id)` is a document's address, `onOpen(id)` opens it in place, `onSort(sort)` orders the
 * list, `actions(document)` are the entries of a row's menu.
 */
export function documentList({ store, href, onOpen, onSort, actions }) {
  let open = null;
  let list = null;
  let wanted = null;
  const head = h("div", { class: "doc-head", role: "group", "aria-label": t("documents.order") });
  const body = h("div", { class: "doc-body" });
  const element = h("div", { class: "doc-list" }, head, body);

  function row(index) {
    const document = store.at(index);
    if (document === null) {
      return h("div", { class: "doc-row", dataset: { index } }, h("span", { class: "skeleton doc-skeleton" }));
    }
    const link = h("a", { class: "doc-link ellipsis", href: href(document.id), title: document.title, onClick: (event) => follow(event, document.id) }, document.title);
    const more = iconButton("more", t("documents.actionsFor", { name: document.title }), { class: "small" });
    menu(more, () => actions(document));
    const element = h("div", { class: ["doc-row", document.id === open && "on"], dataset: { index } },
      h("div", { class: "doc-cell name" },
        link,
        h("div", { class: "doc-path ellipsis", title: document.name }, document.name, why(document)),
        h("div", { class: "doc-meta ellipsis" }, stateBadge(document), why(document) ?? ` ${summary(document)}`)),
      cell("state", stateBadge(document)),
      cell("format", document.format.toUpperCase()),
      cell("pages", count(document.pages)),
      cell("chunks", count(document.chunks)),
      h("div", { class: "doc-cell tags" }, tagChips(document.tags, { most: 1 })),
      cell("groups", h("span", { class: ["ellipsis", document.acl.length === 0 && "dim"], title: groupsText(document) }, groupsText(document))),
      cell("version", document.version > 0 ? document.version : "–"),
      cell("updated", h("span", { title: dateTime(document.updated_at) }, ago(document.updated_at))),
      h("div", { class: "doc-cell more" }, more));
    if (document.id === open) link.setAttribute("aria-current", "true");
    element.addEventListener("click", (event) => {
      if (!event.target.closest("a, button")) onOpen(document.id);
    });
    return element;
  }

  const why = (document) => (document.state === "failed" ? h("span", { class: "doc-why", lang: "en", title: document.reason }, document.reason) : null);

  const cell = (id, content) =>
    h("div", { class: ["doc-cell", id] }, h("span", { class: "visually-hidden" }, `${t(`documents.col.${id}`)}: `), content);

  function follow(event, id) {
    if (!plainClick(event)) return;
    event.preventDefault();
    onOpen(id);
  }

  function keys(event) {
    const row = event.target.closest?.(".doc-row");
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || event.target.closest("[role=menu]")) return;
    event.preventDefault();
    const from = row ? Number(row.dataset.index) : -1;
    focus(Math.min((store.total ?? 1) - 1, Math.max(0, from + step)));
  }

  /** Gives a row the focus: at once, or when it and its document have come. */
  function focus(index) {
    const { element } = list;
    const top = index * ROW;
    if (top < element.scrollTop || top + ROW > element.scrollTop + element.clientHeight) list.scrollTo(index);
    wanted = { index, until: performance.now() + WAIT_MS };
    // Scrolling draws in the next frame.
    requestAnimationFrame(() => requestAnimationFrame(focusWanted));
  }

  function focusWanted() {
    if (wanted === null) return;
    const link = $(`.doc-row[data-index="${wanted.index}"] .doc-link`, body);
    if (link || performance.now() > wanted.until) wanted = null;
    link?.focus({ preventScroll: true });
  }

  /** The head leaves the room that the list's scroll bar takes. */
  function align() {
    const { offsetWidth, clientWidth } = list.element;
    head.style.setProperty("margin-right", `${offsetWidth - clientWidth}px`);
  }

  /** Draws anew and keeps the place of the keyboard. */
  function draw() {
    const total = store.total ?? 0;
    if (list === null) {
      list = virtualList({ count: total, rowHeight: ROW, render: row, label: t("documents.list") });
      list.element.addEventListener("keydown", keys);
      body.append(list.element);
      new ResizeObserver(align).observe(list.element);
      return;
    }
    const focused = body.contains(document.activeElement) ? document.activeElement.closest(".doc-row")?.dataset.index : undefined;
    const inMenu = document.activeElement?.matches(".doc-cell.more button");
    list.setCount(total);
    align();
    if (focused !== undefined) {
      $(`.doc-row[data-index="${focused}"] ${inMenu ? ".more button" : ".doc-link"}`, body)?.focus({ preventScroll: true });
    }
    focusWanted();
  }

  return {
    element,
    draw,
    /** Whether a row in sight waits for its document. */
    hasGaps: () => $(".doc-skeleton", body) !== null,

    /** Shows what orders the list. */
    setOrder({ sort, descending }) {
      head.replaceChildren(...COLUMNS.map((column) => {
        const name = t(`documents.col.${column.id}`);
        if (!column.sort) return h("span", { class: ["doc-cell", column.id] }, name);
        const on = sort === column.sort;
        const words = on ? t(descending ? "documents.sortedDown" : "documents.sortedUp", { name }) : t("documents.sortBy", { name });
        return h("button",
          { type: "button", class: ["doc-cell", column.id, on && "on"], title: words, "aria-pressed": String(on), onClick: () => onSort(column.sort) },
          name, h("span", { class: ["doc-arrow", descending && "down"] }, on && icon("chevron", 14)));
      }), h("span", { class: "doc-cell more" }));
    },

    /** Marks the row of the document that is open. */
    setOpen(id) {
      if (open === id) return;
      open = id;
      if (list) draw();
    },

    /** The first and the last row in sight. */
    sight() {
      if (list === null) return [0, 0];
      const { scrollTop, clientHeight } = list.element;
      return [Math.floor(scrollTop / ROW), Math.ceil((scrollTop + clientHeight) / ROW)];
    },

    /** The place of a document among the rows that are drawn, or 0. */
    placeOf(id) {
      const link = $(`.doc-link[href="${CSS.escape(href(id))}"]`, body);
      return Number(link?.closest(".doc-row").dataset.index ?? 0);
    },

    /** Gives the row in a place, or the last before it, the focus. */
    focusRow(index) {
      if (list && store.total > 0) focus(Math.min(index, store.total - 1));
    },

    toTop() {
      if (list) list.element.scrollTop = 0;
    },
  };
}
