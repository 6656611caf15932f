// The form of a new training. It shows what the YAML says and changes the YAML where a person changes it; the YAML is the one
// truth.

import { h, replace } from "../core/dom.js";
import { number, t } from "../core/i18n.js";
import { field } from "./parts.js";
import { Raw, same, set, values } from "./yaml.js";
import { datasetPicker } from "./datasets.js";

const GROUPS = ["method", "data", "steps", "memory", "run"];
/** Shown at once; the others unfold. */
const FIRST = new Set(["finetuning_type", "lora_rank", "lora_alpha", "freeze_trainable_layers", "adapter_size", "dataset_format",
  "rag_documents", "rag_answer", "cutoff_len", "val_size", "learning_rate", "lr_scheduler_type", "num_train_epochs", "batch_tokens",
  "bf16", "gradient_checkpointing", "eval_strategy", "save_strategy"]);

/** The form over `choices`; `change(text)` hears the YAML that a change makes of `text()`. */
export function trainingForm(choices, text, change) {
  const controls = new Map();
  const keysOf = (group) => choices.parameters.filter((p) => p.group === group).map((p) => p.key);
  const put = (key, value, near) => change(set(text(), key, value, near));

  const base = baseField(choices, (value) => put("model_name_or_path", value, []));
  const data = datasetPicker(choices, (next) => change(next), text);
  const groups = GROUPS.map((group) => {
    const own = choices.parameters.filter((p) => p.group === group);
    const made = own.map((p) => {
      const control = parameterField(p, (value) => put(p.key, value, keysOf(group)));
      controls.set(p.key, { ...control, parameter: p });
      return [p.key, control.element];
    });
    const first = made.filter(([key]) => FIRST.has(key)).map(([, element]) => element);
    const more = made.filter(([key]) => !FIRST.has(key)).map(([, element]) => element);
    return h("fieldset", { class: "group" },
      h("legend", {}, t(`training.group.${group}`)),
      group === "method" && base.element,
      group === "data" && data.element,
      h("div", { class: "fields" }, first),
      more.length > 0 && h("details", { class: "more" }, h("summary", {}, t("training.more")), h("div", { class: "fields" }, more)));
  });

  const show = () => {
    const now = values(text());
    base.show(now.model_name_or_path);
    data.show(now);
    const method = now.finetuning_type ?? (now.init === "random" ? "full" : "lora");
    for (const [key, { element, display, parameter }] of controls) {
      display(now[key], now);
      const apt = parameter.methods?.length ? parameter.methods.includes(method) : true;
      const rag = key.startsWith("rag_") ? now.dataset_format === "questions" : true;
      const set = now[key] !== undefined && now[key] !== null;
      element.hidden = !(apt && rag) && !set;
    }
  };
  const fail = (problems) => {
    const now = values(text());
    for (const [key, { element, parameter }] of controls) {
      // The server tells the first problem; what else is out of bounds is seen here.
      const more = problems.length > 0 ? outside(parameter, now[key]) : null;
      element.fail(problems.find((p) => p.key === key)?.message ?? more);
    }
    base.element.fail(problems.find((p) => p.key === "model_name_or_path")?.message ?? null);
    data.fail(problems.find((p) => ["dataset", "eval_dataset", "dataset_dir"].includes(p.key))?.message ?? null);
  };
  return { element: h("div", { class: "form" }, groups), show, fail };
}

function baseField(choices, changed) {
  const list = h("datalist", { id: "bases" }, choices.bases.map((base) =>
    h("option", { value: base.value }, `${base.label} · ${t(`training.base.${base.kind}`)}`)));
  const input = h("input", { type: "text", list: "bases", autocomplete: "off", spellcheck: "false", onChange: () => changed(input.value.trim() || null) });
  const quick = h("div", { class: "row quick" }, choices.bases.slice(0, 6).map((base) =>
    h("button", { type: "button", class: "chip", title: base.value, "aria-pressed": "false", dataset: { value: base.value }, onClick: () => changed(base.value) },
      h("span", { class: "ellipsis" }, base.label), h("span", { class: "dim" }, t(`training.base.${base.kind}`)))));
  const element = field(t("training.p.model_name_or_path"), input, { hint: t("training.h.model_name_or_path"), code: "model_name_or_path" });
  element.append(list, quick);
  const show = (value) => {
    if (document.activeElement !== input) input.value = value ?? "";
    for (const chip of quick.children) chip.setAttribute("aria-pressed", String(chip.dataset.value === value));
  };
  return { element, show };
}

/** A parameter's control: `display(value)` shows a value of the YAML, undefined where it is not set. */
function parameterField(parameter, changed) {
  const { key, kind } = parameter;
  const make = { flag, choice, whole: numeric, number: numeric }[kind] ?? words;
  const { input, display } = make(parameter, changed);
  const element = kind === "flag" ? flagField(parameter, input) : field(t(`training.p.${key}`), input, { hint: hintOf(parameter), code: key });
  return { element, display };
}

/** A number as a person reads it; a very small one by its power of ten. */
const figure = (value) => (value !== 0 && Math.abs(value) < 0.001 ? value.toExponential() : number(value, { maximumSignificantDigits: 10 }));
const range = ([low, high]) => ({ low: figure(low), high: figure(high) });

/** What is wrong with a value that is not within its bounds. */
const outside = ({ bounds }, value) => (bounds && typeof value === "number" && (value < bounds[0] || value > bounds[1]) ? t("training.outside", range(bounds)) : null);

function hintOf({ key, bounds, default: standard }) {
  const told = [t(`training.h.${key}`)];
  if (bounds) told.push(t("training.bounds", range(bounds)));
  if (standard !== undefined && standard !== null) told.push(t("training.default", { value: typeof standard === "number" ? figure(standard) : String(standard) }));
  return told.join(" ");
}

function flagField(parameter, input) {
  const error = h("p", { class: "error", hidden: true });
  const element = h("div", { class: "field" },
    h("label", { class: "check" }, input, h("span", {}, t(`training.p.${parameter.key}`), h("code", { class: "key" }, parameter.key))),
    h("p", { class: "hint" }, t(`training.h.${parameter.key}`)), error);
  element.fail = (message) => {
    error.hidden = !message;
    error.textContent = message ?? "";
  };
  return element;
}

function flag(parameter, changed) {
  const standard = Boolean(parameter.default);
  const input = h("input", { type: "checkbox", onChange: () => changed(input.checked === standard ? null : input.checked) });
  const yes = (value) => value === true || /^(yes|on|true)$/i.test(value ?? "");
  return { input, display: (value) => { input.checked = value === undefined || value === null ? standard : yes(value); } };
}

function choice(parameter, changed) {
  const standard = parameter.default ?? "";
  const name = (word) => (parameter.key === "finetuning_type" || parameter.key === "stage" || parameter.key === "dataset_format" ? t(`training.w.${word}`) : word);
  const input = h("select", { onChange: () => changed(input.value || null) });
  const display = (value) => {
    const now = value === undefined || value === null ? "" : String(value === false ? "no" : value);
    const known = parameter.words.includes(now) || now === "";
    replace(input,
      h("option", { value: "" }, standard ? t("training.standard", { value: name(standard) }) : t("training.open")),
      parameter.words.map((word) => h("option", { value: word }, name(word))),
      !known && h("option", { value: now }, now));
    input.value = now;
  };
  return { input, display };
}

function numeric(parameter, changed) {
  const { bounds, kind, default: standard } = parameter;
  const input = h("input", {
    type: "text", inputmode: kind === "whole" ? "numeric" : "decimal", autocomplete: "off", spellcheck: "false",
    placeholder: standard === undefined || standard === null ? t("training.open") : String(standard), class: "num",
  });
  const element = () => input.closest(".field");
  input.addEventListener("change", () => {
    const text = input.value.trim();
    if (text === "") {
      element().fail(null);
      changed(null);
      return;
    }
    const value = Number(text);
    const fits = Number.isFinite(value) && (kind !== "whole" || Number.isInteger(value)) && (!bounds || (value >= bounds[0] && value <= bounds[1]));
    element().fail(fits ? null : t("training.outside", range(bounds ?? [0, 1e9])));
    // As it was written: 2.0e-4 stays that.
    if (fits) changed(String(value) === text || !/^[\d.]+e-?\d+$/i.test(text) ? value : new Raw(/\./.test(text) ? text : text.replace(/e/i, ".0e")));
  });
  const display = (value) => {
    if (document.activeElement === input && Number(input.value) === value) return;
    input.value = value === undefined || value === null ? "" : String(value instanceof Raw ? value.text : value);
  };
  return { input, display };
}

function words(parameter, changed) {
  const input = h("input", {
    type: "text", autocomplete: "off", spellcheck: "false",
    placeholder: parameter.default === undefined || parameter.default === null ? t("training.open") : String(parameter.default),
  });
  let last = null;
  input.addEventListener("change", () => {
    const text = input.value.trim();
    const list = text.includes(",") ? text.split(",").map((word) => word.trim()).filter(Boolean) : text;
    const value = text === "" ? null : /^\d+$/.test(text) ? Number(text) : list;
    if (!same(value, last)) changed(value);
  });
  const display = (value) => {
    last = value ?? null;
    if (document.activeElement !== input) input.value = Array.isArray(value) ? value.join(", ") : value ?? "";
  };
  return { input, display };
}
