// Before files are sent: who may read them, and their labels. What was chosen last is offered again in this tab.

import { h } from "../core/dom.js";
import { keep, kept } from "../core/format.js";
import { bytes, number, plural, t } from "../core/i18n.js";
import { formDialog } from "../core/ui.js";
import { dateField, groupsField, tagsField } from "./fields.js";

const LAST = "lore.documents.upload";

/** Asks how `files` are to be taken in; the form's fields, or null where the person stepped back. */
export function uploadDialog({ files, refused, more }, known) {
  return new Promise((resolve) => {
    let given = null;
    const last = { groups: [], tags: {}, ...kept(LAST, "sessionStorage") };
    const groups = groupsField({ groups: last.groups, known: known.groups, hint: t("documents.up.groups.hint") });
    const tags = tagsField({ tags: last.tags });
    const date = dateField({ value: "" });
    formDialog({
      title: t("documents.upload"),
      fields: [
        h("p", {}, plural("documents.up.about", files.length, { size: bytes(files.reduce((sum, file) => sum + file.size, 0)) })),
        h("ul", { class: "up-list small dim" }, files.slice(0, 5).map((file) => h("li", { class: "ellipsis" }, file.relativeName)),
          files.length > 5 && h("li", {}, t("documents.up.andMore", { n: number(files.length - 5) }))),
        refused.length > 0 && h("p", { class: "small" }, plural("documents.up.refusedN", refused.length, { names: refused.slice(0, 3).map((file) => file.relativeName).join(", ") })),
        more && h("p", { class: "notice warn" }, t("documents.up.tooMany", { n: number(files.length) })),
        groups.element, tags.element, date.element,
      ],
      confirm: t("documents.up.start"),
      onSubmit: (dialog) => {
        const [acl, labels, day] = [groups.read(), tags.read(), date.read()];
        if (acl === null || labels === null) return;
        keep(LAST, { groups: acl, tags: labels }, "sessionStorage");
        given = { acl: acl.join(","), tags: Object.entries(labels).map(([key, value]) => `${key}=${value}`), date: day };
        dialog.close("yes");
      },
      onClose: () => resolve(given),
    });
  });
}
