// Dialogs: the browser's own <dialog>, which keeps the focus and closes with Esc.

import { h, uid } from "../dom.js";
import { t } from "../i18n.js";
import { iconButton } from "../icons.js";

/** Opens a dialog; `actions` are buttons, `onClose(returnValue)` runs once it is gone. */
export function openDialog({ title, body, actions = [], size = "", onClose = null }) {
  const id = uid("dialog");
  const dialog = h("dialog", { class: ["dialog", size], "aria-labelledby": id },
    h("header", { class: "dialog-head" },
      h("h2", { id }, title),
      iconButton("close", t("core.close"), { onClick: () => dialog.close("") })),
    h("div", { class: "dialog-body" }, body),
    actions.length > 0 && h("footer", { class: "dialog-foot" }, actions));
  dialog.addEventListener("close", () => {
    // Messages that were shown in it outlive it.
    const toasts = dialog.querySelector(".toasts");
    if (toasts) document.body.append(toasts);
    dialog.remove();
    onClose?.(dialog.returnValue);
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks yes or no. */
export function confirmDialog({ title, text, confirm, danger = false }) {
  return new Promise((resolve) => {
    const no = h("button", { type: "button", class: "button", onClick: () => dialog.close("") }, t("core.cancel"));
    const yes = h("button", { type: "button", class: ["button", danger ? "danger" : "primary"], onClick: () => dialog.close("yes") }, confirm);
    const dialog = openDialog({ title, body: h("p", {}, text), actions: [no, yes], onClose: (value) => resolve(value === "yes") });
    // What cannot be undone is not one careless key away.
    (danger ? no : yes).focus();
  });
}

/** A dialog around a form of `fields`; `onSubmit(dialog, button)` runs for what was entered. */
export function formDialog({ title, fields, confirm, onSubmit, onClose = null }) {
  const id = uid("form");
  const go = h("button", { type: "submit", class: "button primary", form: id }, confirm);
  const form = h("form", { id, onSubmit: (event) => {
    event.preventDefault();
    onSubmit(dialog, go);
  } }, fields);
  const no = h("button", { type: "button", class: "button", onClick: () => dialog.close("") }, t("core.cancel"));
  const dialog = openDialog({ title, body: form, actions: [no, go], onClose });
  return dialog;
}

/** Asks for a text; null where the dialog was left. */
export function promptDialog({ title, label, value = "", hint = null, confirm, maxLength }) {
  return new Promise((resolve) => {
    let given = null;
    const id = uid("field");
    const input = h("input", { id, value, required: true, maxlength: maxLength, "aria-describedby": hint && `${id}-hint` });
    formDialog({
      title,
      fields: h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("p", { class: "hint", id: `${id}-hint` }, hint)),
      confirm,
      onSubmit: (dialog) => {
        given = input.value;
        dialog.close("yes");
      },
      onClose: () => resolve(given),
    });
    input.focus();
    input.select();
  });
}
