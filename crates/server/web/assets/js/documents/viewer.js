// A document that is open: its text, its versions, what is known of it.

import { api } from "../core/api.js";
import { h, isAdmin, replace } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { documentPath, originalPath } from "../core/paths.js";
import { emptyState, errorState, menu, skeleton, tabs } from "../core/ui.js";
import { details } from "./details.js";
import { stateBadge } from "./parts.js";
import { textView } from "./text.js";
import { versions } from "./versions.js";

/**
 * The pane of an open document. `onClose()` closes it; `onView(view)` is told of the tab; `onDelete(document)`,
 * `onEdit(document)`, `onRetry(document)` do that; `onTag(tag)` filters the list.
 */
export function viewer({ onClose, onView, onDelete, onEdit, onRetry, onTag }) {
  let current = null;
  let asked = 0;
  let text = null;
  const element = h("section", { class: "doc-open", "aria-label": t("documents.opened"), tabindex: "-1", hidden: true });

  async function show(id, view, place = null) {
    const mine = (asked += 1);
    element.hidden = false;
    if (current?.id !== id) {
      leave();
      replace(element, bar(null), h("div", { class: "doc-content" }, skeleton(8)));
    }
    try {
      const document = await api.get(documentPath(id));
      if (mine === asked) draw(document, view, place);
    } catch (error) {
      if (mine !== asked) return;
      leave();
      const missing = error.status === 404;
      replace(element, bar(null), h("div", { class: "doc-content" }, missing
        ? emptyState({ icon: "document", title: t("documents.gone"), text: t("documents.gone.text"), action: h("button", { type: "button", class: "button", onClick: onClose }, t("documents.back")) })
        : errorState(error, () => show(id, view, place))));
    }
  }

  function leave() {
    text?.destroy();
    text = null;
    current = null;
  }

  function draw(document, view, place = null) {
    leave();
    current = document;
    const failed = document.state === "failed";
    const panels = tabs([
      { id: "text", label: t("documents.tab.text"), panel: () => content(document, place) },
      { id: "versions", label: t("documents.tab.versions", { n: document.versions.length }), panel: () => versions(document) },
      { id: "details", label: t("documents.tab.details"), panel: () => details(document, { onTag, onEdit: () => onEdit(document) }) },
    ], { selected: view, label: t("documents.tabs"), onSelect: onView });
    replace(element, bar(document),
      h("div", { class: "doc-content" },
        failed && h("div", { class: "notice bad", role: "status" },
          h("p", {}, h("strong", {}, t(document.version > 0 ? "documents.failed.newer" : "documents.failed"))),
          h("p", { lang: "en" }, document.reason),
          isAdmin && h("button", { type: "button", class: "button small", onClick: () => onRetry(document) }, icon("refresh", 14), t("core.retry"))),
        document.state === "pending" && h("div", { class: "notice", role: "status" }, t(document.version > 0 ? "documents.pending.newer" : "documents.pending")),
        document.superseded_by && h("div", { class: "notice warn" }, t("documents.superseded", { name: document.superseded_by })),
        panels.element));
  }

  function content(document, place) {
    if (document.version === 0) return emptyState({ icon: "document", title: t("documents.text.none") });
    // Of another version, a place would be a wrong one.
    text = textView(document, place?.version === document.version ? place : null);
    return text;
  }

  function bar(document) {
    const back = iconButton("back", t("documents.back"), { class: "doc-back", onClick: onClose });
    if (document === null) return h("header", { class: "doc-bar" }, back);
    const more = iconButton("more", t("core.more"));
    const actions = [
      { label: t("documents.edit"), icon: "edit", run: () => onEdit(document) },
      { label: t("core.delete"), icon: "trash", danger: true, run: () => onDelete(document) },
    ];
    if (isAdmin) menu(more, actions);
    return h("header", { class: "doc-bar" }, back,
      h("div", { class: "doc-title" },
        h("h2", { class: "ellipsis", title: document.title }, document.title),
        h("div", { class: "doc-under" }, stateBadge(document), h("span", { class: "ellipsis dim small", title: document.name }, document.name))),
      document.version > 0 && h("a", { class: "button doc-original", href: originalPath(document.id), target: "_blank", rel: "noopener" },
        h("span", {}, t("documents.original")), icon("external", 16)),
      isAdmin && more);
  }

  return {
    element,
    show,
    /** Shows the document anew where it is another than before. */
    async refresh(view) {
      const [before, mine] = [current, asked];
      if (before === null) return;
      const now = await api.get(documentPath(before.id)).catch(() => null);
      // What was deleted meanwhile stays in sight until the person leaves it.
      if (now && mine === asked && current === before && JSON.stringify(now) !== JSON.stringify(before)) draw(now, view);
    },
    hide() {
      asked += 1;
      leave();
      element.hidden = true;
      replace(element);
    },
    focus: () => element.focus({ preventScroll: true }),
  };
}
