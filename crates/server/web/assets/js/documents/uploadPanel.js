// What becomes of uploads: each file's progress, and that of all.

import { h, plainClick, replace } from "../core/dom.js";
import { throttleFrame } from "../core/format.js";
import { bytes, number, plural, t } from "../core/i18n.js";
import { icon, iconButton } from "../core/icons.js";
import { announce, errorWords, report } from "../core/ui.js";
import { virtualList } from "../core/ui/list.js";

const ROW = 46;
const KINDS = { done: "good", failed: "bad" };

/** The panel of `queue`; `href(id)` is a document's address, `onOpen(id)` opens it. */
export function uploadPanel(queue, { href, onOpen }) {
  let list = null;
  let shown = "";
  let running = false;
  let folded = false;
  const words = h("div", { class: "up-words" });
  const bar = h("progress", { class: "progress", max: "1", "aria-label": t("documents.up.all") });
  const fold = iconButton("chevron", t("documents.up.fold"), { class: "small up-fold", "aria-expanded": "true", onClick: () => {
    folded = !folded;
    body.hidden = folded;
    fold.setAttribute("aria-expanded", String(!folded));
  } });
  const stop = h("button", { type: "button", class: "button small", onClick: () => queue.cancelAll() }, t("documents.up.cancelAll"));
  const close = iconButton("close", t("documents.up.clear"), { class: "small", onClick: () => queue.clear() });
  const body = h("div", { class: "up-body" });
  const element = h("section", { class: "up-panel", "aria-label": t("documents.up.title"), hidden: true },
    h("div", { class: "up-head" }, h("div", { class: "up-state" }, words, bar), stop, close, fold), body);

  function row(index) {
    const item = queue.items[index];
    const { state } = item;
    const open = item.document && (state === "done" || state === "failed");
    const name = open
      ? h("a", { class: "ellipsis", href: href(item.document), onClick: (event) => {
        if (!plainClick(event)) return;
        event.preventDefault();
        onOpen(item.document);
      } }, item.name)
      : h("span", { class: "ellipsis", title: item.name }, item.name);
    const label = state === "sending" && item.sent > 0
      ? `${bytes(item.sent)} / ${bytes(item.size)}`
      : t(`documents.up.${state}`);
    const why = item.reason && h("div", { class: "up-why ellipsis" }, errorWords(item.reason));
    if (why) why.title = why.textContent;
    return h("div", { class: ["up-row", state], dataset: { id: item.id } },
      h("div", { class: "up-file" },
        h("div", { class: "up-name" }, name, item.size > 0 && h("span", { class: "dim small nowrap" }, bytes(item.size))),
        state === "sending"
          ? h("progress", { class: "progress thin", max: "1", value: item.size ? item.sent / item.size : 0, "aria-label": item.name })
          : why),
      h("span", { class: ["badge", KINDS[state]] }, state === "done" && icon("check", 12), label),
      (state === "waiting" || state === "sending") && iconButton("close", t("documents.up.cancel", { name: item.name }), { class: "small", onClick: () => queue.cancel(item) }),
      state === "failed" && (item.job || item.file) &&
        iconButton("refresh", t("documents.up.retry", { name: item.name }), { class: "small", onClick: () => queue.retry(item).catch(report) }));
  }

  const draw = throttleFrame(() => {
    const sum = queue.totals();
    element.hidden = queue.items.length === 0;
    if (element.hidden) {
      shown = "";
      return;
    }
    const parts = [];
    if (sum.sending > 0) parts.push(plural("documents.up.sendingN", sum.sending), `${bytes(sum.sent)} / ${bytes(sum.bytes)}`);
    if (sum.reading > 0) parts.push(plural("documents.up.readingN", sum.reading));
    if (sum.done > 0) parts.push(plural("documents.up.doneN", sum.done));
    if (sum.failed > 0) parts.push(plural("documents.up.failedN", sum.failed));
    if (parts.length === 0) parts.push(t("documents.up.cancelled"));
    replace(words, parts.join(" · "));
    bar.hidden = sum.sending === 0;
    bar.value = sum.bytes ? sum.sent / sum.bytes : 0;
    stop.hidden = sum.sending === 0;
    close.hidden = sum.open > 0;
    if (running && sum.open === 0) announce(t("documents.up.ended", { done: number(sum.done), failed: number(sum.failed) }));
    running = sum.open > 0;
    drawRows();
  });

  function drawRows() {
    const { items } = queue;
    if (list === null) {
      list = virtualList({ count: items.length, rowHeight: ROW, render: row, label: t("documents.up.title") });
      body.append(list.element);
    }
    list.element.style.setProperty("height", `${Math.min(items.length, 4) * ROW}px`);
    // A frame's progress changes few rows; only where something else changed are all drawn anew.
    const now = items.map(({ id, state }) => `${id}${state}`).join();
    if (now !== shown) {
      shown = now;
      const focused = document.activeElement?.closest?.(".up-row")?.dataset.id;
      list.setCount(items.length);
      if (focused) list.element.querySelector(`[data-id="${focused}"] :is(button, a)`)?.focus({ preventScroll: true });
      return;
    }
    for (const element of list.element.querySelectorAll(".up-row.sending")) {
      const item = items.find(({ id }) => String(id) === element.dataset.id);
      const progress = element.querySelector("progress");
      if (!item || !progress) continue;
      progress.value = item.size ? item.sent / item.size : 0;
      replace(element.querySelector(".badge"), `${bytes(item.sent)} / ${bytes(item.size)}`);
    }
  }

  return { element, draw };
}
