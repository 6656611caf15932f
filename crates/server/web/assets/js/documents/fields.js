// Fields of what is known of a document: groups, tags, a date. Each gives {element, read()}; read() is null where what was
// entered cannot be, and says so beside the field.

import { h, replace, uid } from "../core/dom.js";
import { shorten } from "../core/format.js";
import { t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { nameChips, namesIn } from "../core/ui/names.js";

const LONGEST = 128;
const bytesOf = (text) => new TextEncoder().encode(text).length;
const fits = (text) => text.length > 0 && bytesOf(text) <= LONGEST;

/** Groups that may read, as a line of names. */
export function groupsField({ groups, known = [], hint }) {
  const id = uid("groups");
  const error = h("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true });
  const input = h("input", { id, value: groups.join(", "), autocomplete: "off", spellcheck: "false", placeholder: t("documents.everyone"), "aria-describedby": `${id}-hint ${id}-error` });
  const names = () => namesIn(input.value);
  return {
    element: h("div", { class: "field" }, h("label", { for: id }, t("documents.field.groups")), input, nameChips(input, known.slice(0, 12)),
      h("p", { class: "hint", id: `${id}-hint` }, hint), error),
    read() {
      const bad = names().find((name) => !fits(name));
      error.hidden = bad === undefined;
      replace(error, bad === undefined ? "" : t("documents.field.tooLong", { name: shorten(bad, 40), n: LONGEST }));
      if (bad !== undefined) input.focus();
      return bad === undefined ? names() : null;
    },
  };
}

/** Tags, a key and a value each. */
export function tagsField({ tags }) {
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const rows = h("div", { class: "stack tag-rows" });
  const add = (key = "", value = "") => {
    const row = h("div", { class: "tag-row" },
      h("input", { class: "tag-key", value: key, maxlength: LONGEST, "aria-label": t("documents.field.tagKey"), placeholder: t("documents.field.tagKey"), autocomplete: "off" }),
      h("span", { "aria-hidden": "true" }, "="),
      h("input", { class: "tag-value", value, maxlength: LONGEST, "aria-label": t("documents.field.tagValue"), placeholder: t("documents.field.tagValue"), autocomplete: "off" }),
      iconButton("close", t("documents.field.tagRemove"), { class: "small", onClick: () => {
        const next = row.nextElementSibling ?? row.previousElementSibling;
        row.remove();
        (next?.querySelector("input") ?? more).focus();
      } }));
    rows.append(row);
    return row;
  };
  const more = h("button", { type: "button", class: "button small", onClick: () => add().querySelector("input").focus() }, icon("plus", 14), t("documents.field.tagAdd"));
  for (const [key, value] of Object.entries(tags)) add(key, value);
  return {
    element: h("div", { class: "field", role: "group", "aria-label": t("documents.field.tags") }, h("span", { class: "label" }, t("documents.field.tags")), rows, h("div", {}, more), error),
    read() {
      const out = {};
      let bad = null;
      for (const row of rows.children) {
        const [key, value] = [...row.querySelectorAll("input")].map((input) => input.value.trim());
        if (key === "" && value === "") continue;
        if (!fits(key) || !fits(value) || key.includes("=")) bad ??= row;
        out[key] = value;
      }
      error.hidden = bad === null;
      replace(error, bad === null ? "" : t("documents.field.tagBad", { n: LONGEST }));
      bad?.querySelector("input").focus();
      return bad === null ? out : null;
    },
  };
}

/** The day from which a document holds; read() gives "" for none. */
export function dateField({ value }) {
  const id = uid("date");
  const input = h("input", { id, type: "date", value, "aria-describedby": `${id}-hint` });
  return {
    element: h("div", { class: "field doc-date" }, h("label", { for: id }, t("documents.field.date")), input, h("p", { class: "hint", id: `${id}-hint` }, t("documents.field.date.hint"))),
    read: () => input.value,
  };
}
