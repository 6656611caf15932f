// What a training would take: memory by what it is for, steps, examples.

import { h, replace } from "../core/dom.js";
import { bytes, number, percent, t } from "../core/i18n.js";
import { skeleton } from "../core/ui.js";
import { facts } from "./parts.js";

/** The estimate; `show(check)` shows what the server found, `reading(cancel)` that examples are being read. */
export function estimate() {
  const element = h("div", { class: "estimate" }, skeleton(2));
  const show = (found) => {
    if (!found?.ok && !found?.outline) {
      replace(element, h("p", { class: "dim" }, t("training.estimate.none")));
      return;
    }
    const { plan, outline, free_memory: free } = found;
    const whole = plan ?? outline;
    if (!whole) {
      replace(element, h("p", { class: "dim" }, t("training.estimate.absent")));
      return;
    }
    replace(element, memory(whole.memory, free, Boolean(plan)), facts([
      [t("training.base"), `${whole.base.name} · ${whole.base.architecture} · ${t("training.layers", { n: whole.base.layers })}`],
      [t("training.method"), whole.method],
      [t("training.trained"), `${number(whole.trained)} / ${number(whole.values)} (${percent(whole.trained / Math.max(1, whole.values), 2)})`],
      [t("training.batch"), plan ? `${plan.batches.of}, ${t("training.largest", { n: number(plan.batches.largest) })}` : t("training.upTo", { n: number(outline.batch_tokens) })],
      plan ? [t("training.examples"), `${number(plan.data.examples)} + ${number(plan.data.held_out)} ${t("training.heldOutExamples")}`] : ["", null],
      plan ? [t("training.tokens"), `${number(plan.data.tokens)}, ${t("training.learned", { n: number(plan.data.labels) })}, ${t("training.longest", { n: number(plan.data.longest) })}`] : ["", null],
      plan ? [t("training.steps"), `${number(plan.steps)}${plan.warmup_steps ? `, ${t("training.warmup", { n: number(plan.warmup_steps) })}` : ""}`] : ["", null],
    ]));
  };
  const reading = (cancel) => replace(element, h("p", {}, t("training.reading")), skeleton(3),
    h("p", {}, h("button", { type: "button", class: "button small", onClick: cancel }, t("core.cancel"))));
  return { element, show, reading };
}

const PARTS = [["weights", ["weights"]], ["trainedValues", ["values", "gradients", "moments"]], ["activations", ["activations"]], ["logits", ["logits"]]];

function memory(memory, free, exact) {
  const parts = PARTS.map(([name, keys]) => [name, keys.reduce((sum, key) => sum + (memory[key] ?? 0), 0)]);
  const scale = Math.max(memory.total, free ?? 0, 1);
  const tight = free && memory.total > free;
  return h("div", { class: "memory" },
    h("p", { class: "memory-sum" },
      h("strong", {}, bytes(memory.total)),
      " ", exact ? t("training.memory.exact") : t("training.memory.most"),
      free ? [" · ", h("span", { class: tight ? "bad-text" : "dim" }, tight ? t("training.memory.short", { free: bytes(free) }) : t("training.memory.free", { free: bytes(free) }))] : null),
    h("div", { class: "memory-bar", "aria-hidden": "true" }, parts.map(([, size], n) =>
      h("span", { class: `part-${n + 1}`, style: { width: `${(100 * size) / scale}%` } }))),
    h("ul", { class: "memory-parts" }, parts.map(([name, size], n) =>
      h("li", {}, h("span", { class: `dot part-${n + 1}`, "aria-hidden": "true" }), h("span", { class: "grow" }, t(`training.memory.${name}`)), h("span", { class: "num" }, bytes(size))))));
}
