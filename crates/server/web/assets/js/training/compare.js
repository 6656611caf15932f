// Several trainings side by side: their curves in one picture, and the settings in which they differ.

import { api } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { h, replace } from "../core/dom.js";
import { duration, number, t } from "../core/i18n.js";
import { emptyState, errorState, skeleton } from "../core/ui.js";
import { figuresOf, smooth } from "./figures.js";
import { isOpen, stateBadge } from "./parts.js";
import { values, write } from "./yaml.js";

const MOST = 6;

/** The comparison; `chosen` are ids of trainings, `note(ids)` hears a change. */
export function compareView(chosen, note) {
  const list = h("div", { class: "chips", role: "group", "aria-label": t("training.compare.which") });
  const body = h("div", {}, skeleton(4));
  const element = h("div", { class: "compare" }, h("p", { class: "dim" }, t("training.compare.text", { n: MOST })), list, body);
  const picked = new Set(chosen.slice(0, MOST));
  const known = new Map();
  let turn = 0;

  /** A training with its figures; of what has ended they are fetched once. */
  const fetched = async (id) => {
    const before = known.get(id);
    if (before && !isOpen(before.training)) return before;
    const figures = before?.figures ?? figuresOf(id);
    const training = await api.get(`/v1/trainings/${id}`);
    await figures.more(training.progress.step);
    known.set(id, { training, figures });
    return known.get(id);
  };
  const draw = async () => {
    const mine = ++turn;
    if (picked.size === 0) {
      replace(body, emptyState({ icon: "chart", title: t("training.compare.none"), text: t("training.compare.none.t") }));
      return;
    }
    try {
      const runs = await Promise.all([...picked].map(fetched));
      if (mine === turn) replace(body, charts(runs), table(runs));
    } catch (error) {
      if (mine === turn) replace(body, errorState(error, draw));
    }
  };
  const begin = async () => {
    try {
      const { trainings } = await api.get("/v1/trainings");
      const begun = trainings.filter((one) => one.progress.step > 0);
      if (picked.size === 0) begun.slice(0, 2).forEach((one) => picked.add(one.id));
      replace(list, begun.map((one) => {
        const chip = h("button", { type: "button", class: "chip", "aria-pressed": String(picked.has(one.id)), onClick: () => {
          if (picked.has(one.id)) picked.delete(one.id);
          else if (picked.size < MOST) picked.add(one.id);
          chip.setAttribute("aria-pressed", String(picked.has(one.id)));
          note([...picked]);
          draw();
        } }, one.name);
        return chip;
      }));
      await draw();
    } catch (error) {
      replace(body, errorState(error, begin));
    }
  };
  begin();
  return element;
}

function charts(runs) {
  const series = (points) => runs.map(({ training, figures }) => ({ name: training.name, points: points(figures) }));
  const x = { label: t("training.step") };
  const evals = series((figures) => figures.evals("eval_loss"));
  const chart = (title, own, more = {}) => h("section", { class: "card" }, h("h2", {}, title), lineChart({ title, x, series: own, ...more }));
  return h("div", { class: "curves" },
    chart(t("training.compare.loss"), series((figures) => smooth(figures.steps("loss"))), { height: 260 }),
    evals.some((one) => one.points.length > 0) && chart(t("training.loss.eval"), evals),
    chart(t("training.rate"), series((figures) => figures.steps("learning_rate")), { y: { format: (v) => (v === 0 ? "0" : v.toExponential(1)) } }),
    chart(t("training.speed"), series((figures) => figures.steps("tokens_per_s")), { y: { min: 0, format: (v) => number(v, { maximumFractionDigits: 0 }) } }));
}

function table(runs) {
  const configs = runs.map(({ training }) => values(training.config));
  const keys = [...new Set(configs.flatMap((config) => Object.keys(config)))];
  const differ = keys.filter((key) => key !== "output_dir" && new Set(configs.map((config) => write(config[key] ?? null))).size > 1);
  const figure = (value) => (value === undefined || value === null ? "–" : number(value, { maximumFractionDigits: 4 }));
  const elapsed = ({ figures }) => figures.steps("elapsed").at(-1)?.[1];
  const rows = [
    [t("training.state"), runs.map(({ training }) => stateBadge(training))],
    [t("training.steps"), runs.map(({ training }) => figure(training.progress.step))],
    [t("training.loss.smooth"), runs.map(({ figures }) => figure(smooth(figures.steps("loss")).at(-1)?.[1]))],
    [t("training.loss.eval"), runs.map(({ training }) => figure(training.progress.eval_loss))],
    [t("training.loss.best"), runs.map(({ training }) => figure(training.progress.best_loss))],
    [t("training.time"), runs.map((run) => (elapsed(run) === undefined ? "–" : duration(elapsed(run))))],
  ];
  return h("section", { class: "card" },
    h("h2", {}, t("training.compare.table")),
    h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": t("training.compare.table") },
      h("table", { class: "table" },
        h("thead", {}, h("tr", {}, h("td", {}), runs.map(({ training }) => h("th", { scope: "col" }, h("a", { href: `/training/${training.id}` }, training.name))))),
        h("tbody", {},
          rows.map(([name, cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell)))),
          differ.map((key) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, key)), configs.map((config) => h("td", { class: "mono" }, config[key] === undefined ? "–" : write(config[key]))))),
          differ.length === 0 && runs.length > 1 && h("tr", {}, h("td", { colspan: runs.length + 1, class: "dim" }, t("training.compare.same")))))));
}
