// Parts of pages that have behaviour. Each is in a file of its own under ui/; this file gives them all.
//
//   toast(message, {kind: "info"|"good"|"bad", action: {label, run}, ms}) -> close()
//   confirmDialog({title, text, confirm, cancel, danger}) -> Promise<boolean>
//   promptDialog({title, label, value, hint, confirm, multiline, required, maxLength}) -> Promise<string|null>
//   openDialog({title, body, actions, size: "wide", onClose}) -> the <dialog>, with .close(); body is a node
//   menu(button, items) -> detach(); items: {label, run, icon, danger, disabled, checked} or "-", or a function that gives them
//   tabs([{id, label, panel}], {selected, onSelect, label}) -> {element, select(id)}; panel: a node or () => node
//   popover(anchor, content, {side}) -> {hide, destroy}; on hover and focus, Esc closes; content: a node or () => node
//   virtualList({count, rowHeight, render, label, height, role}) -> {element, setCount(n), refresh(), scrollTo(i)}
//   emptyState({icon, title, text, action}) -> node     errorState(error, retry?) -> node
//   busy(element, promise) -> promise; the control is off and says so until it ends
//   skeleton(lines) -> node     report(error): a toast for what failed, nothing for what was aborted
//   errorWords(error) -> what failed, in words     copied(text, words?) -> Promise<boolean>; copies, and says whether it did
//   announce(text): says a text to screen readers, politely

export { announce, copied, report, toast } from "./ui/toast.js";
export { confirmDialog, openDialog, promptDialog } from "./ui/dialog.js";
export { menu } from "./ui/menu.js";
export { popover } from "./ui/popover.js";
export { tabs } from "./ui/tabs.js";
export { virtualList } from "./ui/list.js";
export { busy, emptyState, errorState, errorWords, skeleton } from "./ui/states.js";
