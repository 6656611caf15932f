// A new training: the form, its YAML beside it, what that takes, and the first examples.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { debounce, keep, kept } from "../core/format.js";
import { t } from "../core/i18n.js";
import { busy, confirmDialog, copyButton, report, toast } from "../core/ui.js";
import { estimate } from "./estimate.js";
import { trainingForm } from "./form.js";
import { button, field } from "./parts.js";
import { previewButton } from "./preview.js";
import { values } from "./yaml.js";

const DRAFT = "lore.training.draft";

/** The view; it begins with what was being written. */
export function composeView(choices) {
  const draft = kept(DRAFT);
  let text = draft?.config ?? choices.presets[0]?.config ?? "";
  let checked = null;
  let asked = 0;

  const area = h("textarea", { class: "yaml-text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", "aria-label": t("training.yaml") });
  const problems = h("div", { class: "problems", role: "status" });
  const told = estimate();
  const name = h("input", { type: "text", maxlength: "64", value: draft?.name ?? "", placeholder: suggested(), pattern: "[A-Za-z0-9._\\-]{1,64}", autocomplete: "off", spellcheck: "false" });
  const nameField = field(t("training.name"), name, { hint: t("training.name.h") });
  const outcome = outcomeFields(draft?.outcome);

  const change = (next) => {
    if (next === text) return;
    text = next;
    area.value = text;
    changed();
  };
  const form = trainingForm(choices, () => text, change);
  const changed = () => {
    form.show();
    later();
    checked = null;
    check();
  };
  const later = debounce(() => save({ name: name.value, config: text, outcome: outcome.value() }), 300);
  const check = debounce(async () => {
    const mine = ++asked;
    try {
      const found = await api.post("/v1/trainings/check", { config: text });
      if (mine === asked) shown(found);
    } catch (error) {
      if (mine === asked) report(error);
    }
  }, 500);
  const shown = (found) => {
    checked = found;
    form.fail(found.problems);
    replace(problems,
      found.problems.map((problem) => h("p", { class: "notice bad problem" }, where(problem, area), problem.message)),
      found.ok && h("p", { class: "notice good" }, t("training.fits")),
      found.notes.length > 0 && h("details", { class: "notes" }, h("summary", {}, t("training.notes", { n: found.notes.length })), h("ul", {}, found.notes.map((note) => h("li", {}, note)))));
    told.show(found);
  };

  area.value = text;
  area.addEventListener("input", () => {
    text = area.value;
    changed();
  });
  name.addEventListener("input", later);
  const whole = button(t("training.readExamples"), async () => {
    const abort = new AbortController();
    told.reading(() => abort.abort());
    const mine = ++asked;
    const work = api.post("/v1/trainings/check", { config: text, whole: true }, { signal: abort.signal });
    try {
      const found = await busy(whole, work);
      // What was changed meanwhile has other figures, which come by themselves.
      if (mine === asked) shown(found);
    } catch (error) {
      if (error.name !== "AbortError") report(error);
      if (mine === asked) told.show(checked);
    }
  }, { name: "chart" });
  const start = button(t("training.start"), async () => {
    const plain = name.value.trim() || suggested();
    nameField.fail(/^[A-Za-z0-9._-]{1,64}$/.test(plain) ? null : t("training.name.bad"));
    if (nameField.querySelector("[aria-invalid]")) {
      name.focus();
      return;
    }
    const over = checked?.outline && checked.free_memory && checked.outline.memory.total > checked.free_memory && !checked.plan;
    if (over && !(await confirmDialog({ title: t("training.tight"), text: t("training.tight.t"), confirm: t("training.startAnyway") }))) return;
    try {
      const made = await busy(start, api.post("/v1/trainings", { name: plain, config: text, outcome: outcome.value() }));
      save(null);
      location.assign(`/training/${made.id}`);
    } catch (error) {
      report(error);
    }
  }, { kind: "primary", name: "play" });

  const preset = presets(choices, (config) => change(config));
  form.show();
  check();
  return h("div", { class: "compose" },
    h("section", { class: "compose-form", "aria-label": t("training.settings") }, preset, form.element),
    h("section", { class: "compose-side", "aria-label": t("training.yaml") },
      h("div", { class: "card" },
        h("div", { class: "toolbar" }, h("h2", { class: "grow" }, t("training.yaml")), copyButton(() => text), pasteButton((next) => change(next))),
        area, problems),
      h("div", { class: "card" }, h("h2", {}, t("training.estimate")), told.element, h("div", { class: "row" }, whole, previewButton(() => text))),
      h("div", { class: "card" }, h("h2", {}, t("training.begin")), nameField, outcome.element),
      h("div", { class: "start-bar" }, start)));
}

/** The place of a problem, which leads there. */
function where(problem, area) {
  if (!problem.line) return null;
  return h("button", { type: "button", class: "chip", onClick: () => {
    const lines = area.value.split("\n");
    const from = lines.slice(0, problem.line - 1).join("\n").length + (problem.line > 1 ? 1 : 0);
    area.focus();
    area.setSelectionRange(from, from + (lines[problem.line - 1]?.length ?? 0));
    area.scrollTop = Math.max(0, (problem.line - 4) * parseFloat(getComputedStyle(area).lineHeight));
  } }, t("training.line", { n: problem.line }));
}

function presets(choices, use) {
  const select = h("select", { onChange: async () => {
    const found = choices.presets.find((one) => one.name === select.value);
    select.value = "";
    if (found && (await confirmDialog({ title: t("training.preset.q", { name: found.name }), text: t("training.preset.t"), confirm: t("training.preset.ok") }))) use(found.config);
  } }, h("option", { value: "" }, t("training.preset.none")), choices.presets.map((one) => h("option", { value: one.name }, `${one.name} – ${t(`training.preset.${one.name}`)}`)));
  return field(t("training.preset"), select, { hint: t("training.preset.h") });
}

function pasteButton(use) {
  return button(t("training.paste"), async () => {
    try {
      const text = await navigator.clipboard.readText();
      if (Object.keys(values(text)).length > 0) use(text);
      else toast(t("training.paste.none"), { kind: "bad" });
    } catch {
      toast(t("training.paste.cannot"));
    }
  }, { kind: "small quiet" });
}

/** Whether a release is made, and what it is proven with. */
function outcomeFields(given) {
  const release = h("input", { type: "checkbox", checked: given?.release ?? true });
  const questions = h("input", { type: "text", value: given?.prove_with ?? "", spellcheck: "false", autocomplete: "off", placeholder: t("training.prove.none") });
  const documents = h("input", { type: "text", value: given?.documents ?? "", spellcheck: "false", autocomplete: "off", placeholder: t("training.open") });
  const more = h("div", { class: "fields" },
    field(t("training.prove"), questions, { hint: t("training.prove.h") }),
    field(t("training.proveDocs"), documents, { hint: t("training.proveDocs.h") }));
  const follow = () => { more.hidden = !release.checked; };
  release.addEventListener("change", follow);
  follow();
  const element = h("div", {},
    h("div", { class: "field" },
      h("label", { class: "check" }, release, h("span", {}, t("training.makeRelease"))),
      h("p", { class: "hint" }, t("training.makeRelease.h"))),
    more);
  const value = () => ({ release: release.checked, prove_with: questions.value.trim() || null, documents: documents.value.trim() || null });
  return { element, value };
}

const suggested = () => `training-${new Date().toISOString().slice(0, 10)}`;

/** Keeps what is being written in this browser. */
export const save = (draft) => keep(DRAFT, draft);
