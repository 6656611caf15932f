// All trainings, and who does them.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { ago, number, t } from "../core/i18n.js";
import { copyButton, emptyState, errorState, skeleton } from "../core/ui.js";
import { button, poll, redraw, stateBadge } from "./parts.js";

/** The list; `go(tab)` leads to another part of the page. */
export function runsView(choices, go) {
  const trainers = h("div", { role: "status" });
  const list = h("div", {}, skeleton(4));
  const chosen = new Set();
  const element = h("div", { class: "runs" }, trainers, list);
  let shown = { trainers: "", list: "" };
  // What has not changed stays: it may be read, or have the focus.
  const fresh = (part, ...facts) => {
    const before = shown[part];
    shown[part] = JSON.stringify(facts);
    return shown[part] !== before;
  };
  const load = async () => {
    try {
      const { trainings, trainers: seen } = await api.get("/v1/trainings");
      const alive = seen.filter((one) => one.alive).map((one) => one.name);
      if (fresh("trainers", alive, trainings.filter((one) => one.state === "queued").length)) redraw(trainers, trainerLine(seen, trainings, choices));
      if (fresh("list", trainings, Math.floor(Date.now() / 60_000))) redraw(list, table(trainings, chosen, go));
    } catch (error) {
      shown = { trainers: "", list: "" };
      replace(list, errorState(error, load));
      throw error;
    }
  };
  poll(load, 3000, () => element.isConnected);
  return element;
}

/** Whether a trainer is alive, and how one is started. */
export function trainerLine(seen, trainings, choices) {
  const alive = seen.filter((one) => one.alive);
  const waiting = trainings.filter((one) => one.state === "queued").length;
  if (alive.length > 0) {
    const words = alive.map((one) => one.name).join(", ");
    return h("p", { class: "trainer-line" }, h("span", { class: "dot good", "aria-hidden": "true" }), t("training.trainer.alive", { names: words }));
  }
  const command = choices?.start_with ?? "lore trainer";
  return h("div", { class: ["notice", waiting > 0 && "warn"] },
    h("p", {}, choices?.starts_itself ? t("training.trainer.starting") : waiting > 0 ? t("training.trainer.needed", { n: waiting }) : t("training.trainer.none")),
    h("div", { class: "command" }, h("code", {}, command), copyButton(command)));
}

function table(trainings, chosen, go) {
  if (trainings.length === 0) {
    return emptyState({ icon: "chart", title: t("training.none"), text: t("training.none.t"), action: button(t("training.new"), () => go("new"), { kind: "primary", name: "plus" }) });
  }
  const compare = button(t("training.compare"), () => go("compare", { runs: [...chosen].join(",") }), { disabled: chosen.size < 2, kind: "small", "data-focus": "compare" });
  const row = (one) => {
    const { progress } = one;
    const box = h("input", { type: "checkbox", dataset: { focus: `box-${one.id}` }, checked: chosen.has(one.id), "aria-label": t("training.choose", { name: one.name }), onChange: () => {
      if (box.checked) chosen.add(one.id);
      else chosen.delete(one.id);
      compare.disabled = chosen.size < 2;
    } });
    return h("tr", {},
      h("td", {}, box),
      h("th", { scope: "row" }, h("a", { href: `/training/${one.id}`, dataset: { focus: one.id } }, one.name)),
      h("td", {}, stateBadge(one)),
      h("td", { class: "grow-cell" }, progress.steps > 0 ? [
        h("progress", { class: "progress", max: progress.steps, value: progress.step, "aria-label": t("training.progress", { name: one.name }) }),
        h("span", { class: "small dim num" }, `${number(progress.step)} / ${number(progress.steps)}`),
      ] : h("span", { class: "dim small" }, one.state === "running" ? t(`training.phase.${progress.phase}`) : "–")),
      h("td", { class: "num" }, progress.loss === undefined ? "–" : number(progress.loss, { maximumFractionDigits: 4 })),
      h("td", { class: "num" }, progress.eval_loss === undefined ? "–" : number(progress.eval_loss, { maximumFractionDigits: 4 })),
      h("td", { class: "nowrap dim" }, ago(one.created_at)));
  };
  return h("div", {},
    h("div", { class: "toolbar" }, compare, h("span", { class: "dim small" }, t("training.compare.h"))),
    h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": t("training.runs"), dataset: { focus: "table" } },
      h("table", { class: "table" },
        h("thead", {}, h("tr", {}, h("td", {}), ["name", "state", "progress.head", "loss", "loss.eval", "created"].map((key) =>
          h("th", { scope: "col", class: ["loss", "loss.eval"].includes(key) && "num" }, t(`training.${key}`))))),
        h("tbody", {}, trainings.map(row)))));
}
