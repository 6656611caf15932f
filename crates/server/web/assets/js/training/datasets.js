// Which data sets are learned from and evaluated on.

import { h, replace } from "../core/dom.js";
import { plural, t } from "../core/i18n.js";
import { field } from "./parts.js";
import { set, values } from "./yaml.js";

const listOf = (value) => {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map(String);
  return String(value).split(",").map((word) => word.trim()).filter(Boolean);
};
const written = (names) => (names.length === 0 ? null : names.length === 1 && !names[0].includes(",") ? names[0] : names);

/** The data sets of `choices`; `change(text)` hears the YAML that a change makes of `text()`. */
export function datasetPicker(choices, change, text) {
  const rows = h("div", { class: "datasets", role: "group", "aria-label": t("training.p.dataset") });
  const error = h("p", { class: "error", hidden: true });
  const other = h("input", { type: "text", spellcheck: "false", autocomplete: "off", onChange: () => add(other) });
  const evaluated = h("input", { type: "text", spellcheck: "false", autocomplete: "off", onChange: () => change(set(text(), "eval_dataset", written(listOf(evaluated.value)), ["dataset"])) });

  const toggle = (name, on) => {
    const now = listOf(values(text()).dataset);
    put(on ? [...now.filter((one) => one !== name), name] : now.filter((one) => one !== name));
  };
  const add = (input) => {
    const names = listOf(input.value);
    input.value = "";
    if (names.length > 0) put([...new Set([...listOf(values(text()).dataset), ...names])]);
  };
  const put = (names) => {
    let next = set(text(), "dataset", written(names), ["finetuning_type"]);
    const known = names.map((name) => choices.datasets.find((one) => one.value === name)).filter(Boolean);
    const formats = new Set(known.map((one) => one.format));
    if (formats.size === 1) {
      const [format] = formats;
      const now = values(next);
      next = set(next, "dataset_format", format, ["dataset"]);
      if (format === "text") next = set(next, "stage", "pt", ["model_name_or_path"]);
      else if (now.stage === "pt") next = set(next, "stage", "sft", ["model_name_or_path"]);
      const folders = new Set(known.map((one) => one.documents));
      if (format === "questions" && folders.size === 1) next = set(next, "rag_documents", [...folders][0], ["dataset_format"]);
      if (format !== "questions") for (const key of Object.keys(now)) if (key.startsWith("rag_")) next = set(next, key, null);
    }
    change(next);
  };

  const row = (name, choice, chosen) => {
    const input = h("input", { type: "checkbox", checked: chosen, disabled: Boolean(choice?.held_out), onChange: () => toggle(name, input.checked) });
    return h("label", { class: "check dataset" }, input,
      h("span", { class: "grow" },
        h("span", { class: "name" }, choice?.kind === "feedback" ? t("training.feedback") : name),
        h("span", { class: "dim small" }, choice
          ? [t(`training.w.${choice.format}`), " · ", plural("training.rows", choice.rows), choice.held_out && ` · ${t("training.heldOut")}`]
          : t("training.notKnown"))));
  };
  const show = (now) => {
    const chosen = listOf(now.dataset);
    const unknown = chosen.filter((name) => !choices.datasets.some((one) => one.value === name));
    const order = [...choices.datasets].sort((a, b) => Number(a.held_out) - Number(b.held_out));
    const focused = rows.contains(document.activeElement) ? [...rows.querySelectorAll("input")].indexOf(document.activeElement) : -1;
    replace(rows,
      unknown.map((name) => row(name, null, true)),
      order.map((choice) => row(choice.value, choice, chosen.includes(choice.value))),
      order.length + unknown.length === 0 && h("p", { class: "dim" }, t("training.noDatasets")));
    if (focused >= 0) rows.querySelectorAll("input")[focused]?.focus();
    if (document.activeElement !== evaluated) evaluated.value = listOf(now.eval_dataset).join(", ");
  };
  const element = h("div", { class: "field" },
    h("span", { class: "label" }, t("training.p.dataset"), h("code", { class: "key" }, "dataset")),
    h("p", { class: "hint" }, t("training.h.dataset")),
    rows, error,
    h("div", { class: "fields" },
      field(t("training.otherDataset"), other, { hint: t("training.otherDataset.h") }),
      field(t("training.p.eval_dataset"), evaluated, { hint: t("training.h.eval_dataset"), code: "eval_dataset" })));
  const fail = (message) => {
    error.hidden = !message;
    error.textContent = message ?? "";
  };
  return { element, show, fail };
}
