// What is known of a document, and the dialog that changes it.

import { api } from "../core/api.js";
import { h, isAdmin, uid } from "../core/dom.js";
import { bytes, dateTime, day, languageName, t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { documentPath } from "../core/paths.js";
import { busy, confirmDialog, formDialog, report, toast } from "../core/ui.js";
import { dateField, groupsField, tagsField } from "./fields.js";
import { count, groupsText, tagChips } from "./parts.js";

/** All that is known, as a list of terms. `onTag(tag)` filters by a tag, `onEdit()` opens the dialog. */
export function details(document, { onTag, onEdit }) {
  const [live, dash] = [document.version > 0, "–"];
  const tags = tagChips(document.tags, { onPick: onTag });
  const rows = [
    ["name", h("span", { class: "breaks" }, document.name)],
    ["source", document.source.startsWith("upload:") ? t("documents.source.upload") : h("span", { class: "breaks mono" }, document.source)],
    ["format", document.format.toUpperCase()],
    ["language", document.language ? languageName(document.language) : dash],
    ["size", live ? bytes(document.size) : dash],
    ["pages", count(document.pages)],
    ["chunks", live ? count(document.chunks) : dash],
    ["version", live ? document.version : dash],
    ["groups", groupsText(document)],
    ["tags", tags.length > 0 ? h("div", { class: "row" }, tags) : dash],
    ["date", document.date ? day(document.date) : dash],
    ["supersededBy", document.superseded_by ? h("span", { class: "breaks" }, document.superseded_by) : dash],
    ["created", dateTime(document.created_at)],
    ["updated", dateTime(document.updated_at)],
  ];
  return h("div", {},
    h("dl", { class: "doc-facts" }, rows.map(([id, value]) => [h("dt", {}, t(`documents.col.${id}`)), h("dd", {}, value)])),
    isAdmin && h("button", { type: "button", class: "button", onClick: onEdit }, icon("edit", 16), t("documents.edit")));
}

/** The dialog that changes groups, tags, date and successor; `onSaved(document)` is given the document as it is then. */
export function editDialog(document, known, onSaved) {
  const groups = groupsField({ groups: document.acl, known, hint: t("documents.field.groups.hint") });
  const tags = tagsField({ tags: document.tags });
  const from = dateField({ value: document.date ?? "" });
  const id = uid("successor");
  const successor = h("input", { id, value: document.superseded_by ?? "", maxlength: 512, autocomplete: "off", spellcheck: "false", "aria-describedby": `${id}-hint` });
  const save = async (dialog, button) => {
    const [acl, labels] = [groups.read(), tags.read()];
    if (acl === null || labels === null) return;
    if (document.acl.length > 0 && acl.length === 0) {
      const sure = await confirmDialog({ title: t("documents.openToAll", { name: document.title }), text: t("documents.openToAll.text"), confirm: t("documents.openToAll.yes"), danger: true });
      if (!sure) return;
    }
    const change = { tags: labels, date: from.read() || null, superseded_by: successor.value.trim() || null };
    // A list that nobody touched is not set by hand: its folder's rules go on holding.
    if (acl.join("\n") !== document.acl.join("\n")) change.acl = acl;
    try {
      const saved = await busy(button, api.patch(documentPath(document.id), change));
      dialog.close("saved");
      toast(t("documents.saved"), { kind: "good" });
      onSaved(saved);
    } catch (error) {
      report(error);
    }
  };
  formDialog({
    title: t("documents.editTitle", { name: document.title }),
    fields: [groups.element, tags.element, from.element,
      h("div", { class: "field" }, h("label", { for: id }, t("documents.col.supersededBy")), successor, h("p", { class: "hint", id: `${id}-hint` }, t("documents.field.successor.hint")))],
    confirm: t("core.save"),
    onSubmit: save,
  });
}
