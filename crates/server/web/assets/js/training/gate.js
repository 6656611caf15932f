// The gate's report: each metric with its interval, and each question, the candidate beside what it was compared with.

import { h, replace } from "../core/dom.js";
import { number, percent, t } from "../core/i18n.js";
import { button, sideName } from "./parts.js";

const PAGE = 25;
const LESS_IS_BETTER = new Set(["false_refusals"]);

/** The report of an evaluation. */
export function gateView(report) {
  return h("section", { class: "card" },
    h("h3", {}, t("training.gate")),
    report.gate && [
      h("p", { class: "dim" }, t("training.gate.t", { candidate: report.gate.candidate, incumbent: sideName(report.gate.incumbent), n: number(report.gate.questions) }), report.dataset && ` · ${report.dataset}`),
      metrics(report.gate),
    ],
    report.questions?.length > 0 ? questions(report.questions) : report.gate && lists(report.gate));
}

function metrics(gate) {
  const figure = (value) => number(value, { minimumFractionDigits: 3, maximumFractionDigits: 3 });
  const signed = (value) => number(value, { minimumFractionDigits: 3, maximumFractionDigits: 3, signDisplay: "exceptZero" });
  const badge = (change) => change !== "unmeasured" && change !== "unsure"
    ? h("span", { class: ["badge", change === "better" ? "good" : "bad"] }, t(`training.change.${change}`))
    : h("span", { class: "badge" }, t(`training.change.${change}`));
  return h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": t("training.gate") },
    h("table", { class: "table" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("training.metric")),
        ["candidate", "incumbent", "difference", "interval", "questions"].map((key) => h("th", { scope: "col", class: "num" }, t(`training.${key}`))), h("td", {}))),
      h("tbody", {}, gate.metrics.map((one) => h("tr", { class: one.metric === gate.settings?.metric && "main-metric" },
        h("th", { scope: "row" }, t(`training.m.${one.metric}`), LESS_IS_BETTER.has(one.metric) && h("span", { class: "dim small" }, ` (${t("training.less")})`)),
        h("td", { class: "num" }, figure(one.candidate)), h("td", { class: "num" }, figure(one.incumbent)),
        h("td", { class: "num" }, signed(one.difference)), h("td", { class: "num" }, `${signed(one.low)} … ${signed(one.high)}`),
        h("td", { class: "num" }, number(one.questions)), h("td", {}, badge(one.change)))))));
}

const FILTERS = {
  all: () => true,
  gained: (one) => one.candidate.right && !one.incumbent.right,
  lost: (one) => !one.candidate.right && one.incumbent.right,
  wrong: (one) => !one.candidate.right && !one.incumbent.right,
};

/** What one side got right alone comes first, then what both got wrong. */
const rank = (one) => ["lost", "gained", "wrong", "all"].findIndex((name) => FILTERS[name](one));

function questions(unsorted) {
  const all = [...unsorted].sort((a, b) => rank(a) - rank(b));
  let filter = "all";
  let shown = PAGE;
  const body = h("tbody", {});
  const rest = h("div", { class: "row" });
  const chips = Object.keys(FILTERS).map((name) =>
    h("button", { type: "button", class: "chip", "aria-pressed": String(name === filter), dataset: { filter: name }, onClick: () => {
      filter = name;
      shown = PAGE;
      chips.forEach((chip) => chip.setAttribute("aria-pressed", String(chip.dataset.filter === name)));
      draw();
    } }, t(`training.q.${name}`), " ", h("span", { class: "num" }, number(all.filter(FILTERS[name]).length))));
  const draw = () => {
    const found = all.filter(FILTERS[filter]);
    replace(body, found.slice(0, shown).map(row), found.length === 0 && h("tr", {}, h("td", { colspan: 3, class: "dim" }, t("training.q.none"))));
    replace(rest, found.length > shown && button(t("training.q.more", { n: Math.min(PAGE, found.length - shown) }), () => {
      shown += PAGE;
      draw();
    }));
  };
  draw();
  return h("div", { class: "questions" },
    h("h4", {}, t("training.q.title")),
    h("p", { class: "dim small" }, t("training.q.t")),
    h("div", { class: "toolbar", role: "group", "aria-label": t("training.q.filter") }, chips),
    h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": t("training.q.title") },
      h("table", { class: "table" },
        h("thead", {}, h("tr", {}, ["q.question", "candidate", "incumbent"].map((key) => h("th", { scope: "col" }, t(`training.${key}`))))),
        body)),
    rest);
}

function row(one) {
  return h("tr", {},
    h("th", { scope: "row" },
      h("div", {}, one.question),
      h("div", { class: "small dim" }, [one.id, one.kind, one.lang, !one.answerable && t("training.q.unanswerable")].filter(Boolean).join(" · ")),
      names(one.sources)),
    h("td", {}, side(one.candidate, one)), h("td", {}, side(one.incumbent, one)));
}

function side(outcome, question) {
  const words = outcome.right ? t(question.answerable ? "training.q.right" : "training.q.refusedRightly")
    : t(outcome.answered ? (question.answerable ? "training.q.wrongly" : "training.q.shouldRefuse") : "training.q.refused");
  return h("div", { class: "side" },
    h("span", { class: ["badge", outcome.right ? "good" : "bad"] }, words),
    question.answerable && outcome.answered && h("span", { class: "small dim num" }, `F1 ${number(outcome.f1, { maximumFractionDigits: 2 })} · ${t("training.q.cited", { share: percent(outcome.citation_recall) })}`),
    names(outcome.cited));
}

/** Documents, each once, by the last part of their names. */
const names = (list) => list?.length > 0 && h("div", { class: "small dim" }, [...new Set(list)].map((name, n) => [n > 0 && ", ", h("span", { title: name }, name.split("/").at(-1))]));

/** What older reports have: the questions that only one side got right. */
const lists = (gate) => ["gained", "lost"].filter((name) => gate[name]?.length > 0).map((name) =>
  h("p", {}, h("strong", {}, `${t(`training.q.${name}`)}: `), gate[name].join(", ")));
