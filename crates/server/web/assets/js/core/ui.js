// Parts of pages that have behaviour. Each is in a file of its own under ui/; this file gives them all.
//
//   toast(message, {kind: "info"|"good"|"bad", action: {label, run}, ms}) -> close()
//   confirmDialog({title, text, confirm, danger}) -> Promise<boolean>
//   promptDialog({title, label, value, hint, confirm, maxLength}) -> Promise<string|null>
//   formDialog({title, fields, confirm, onSubmit, onClose}) -> the <dialog>; onSubmit(dialog, button)
//   openDialog({title, body, actions, size: "wide", onClose}) -> the <dialog>, with .close(); body is a node
//   menu(button, items) -> detach(); items: {label, run, icon, danger} or "-", or a function that gives them
//   tabs([{id, label, panel}], {selected, onSelect, label}) -> {element, select(id)}; panel: a node or () => node
//   emptyState({icon, title, text, action}) -> node     errorState(error, retry?) -> node
//   busy(element, promise) -> promise; the control is off and says so until it ends
//   skeleton(lines) -> node     report(error): a toast for what failed, nothing for what was aborted
//   errorWords(error) -> what failed, in words, as children of a node
//   copied(text, words?) -> Promise<boolean>; copies, and says whether it did     copyButton(text, kind?) -> node
//   announce(text): says a text to screen readers, politely
//
// What few pages have they take from its own file: ui/list.js, ui/names.js, ui/popover.js.

export { announce, copied, copyButton, report, toast } from "./ui/toast.js";
export { confirmDialog, formDialog, openDialog, promptDialog } from "./ui/dialog.js";
export { menu } from "./ui/menu.js";
export { tabs } from "./ui/tabs.js";
export { busy, emptyState, errorState, errorWords, skeleton } from "./ui/states.js";
