// The figures of a training, fetched bit by bit, and the curves that they make.

import { api } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { h } from "../core/dom.js";
import { bytes, number, t } from "../core/i18n.js";

const LIMIT = 2000;

/** The figures of training `id`: `more()` fetches what is new and says whether there was any. */
export function figuresOf(id) {
  let steps = new Map();
  let evals = new Map();
  let last = -1;
  const more = async (reached = null) => {
    // A run that went on from an earlier checkpoint takes steps again.
    if (reached !== null && reached < last) {
      steps = new Map();
      evals = new Map();
      last = -1;
    }
    let news = false;
    for (;;) {
      // The last step once more: its evaluation comes after it.
      const after = last > 0 ? last - 1 : undefined;
      const { figures } = await api.get(`/v1/trainings/${id}/metrics`, { after, limit: LIMIT });
      for (const { step, eval: ofEval, figures: own } of figures) {
        const map = ofEval ? evals : steps;
        news ||= !map.has(step);
        map.set(step, own);
        last = Math.max(last, step);
      }
      if (figures.length < LIMIT) return news;
    }
  };
  const points = (map, key) => [...map.keys()].sort((a, b) => a - b).map((step) => [step, map.get(step)[key]]);
  return { more, steps: (key) => points(steps, key), evals: (key) => points(evals, key), count: () => steps.size };
}

/** Means over some steps, weighted to the last (an exponential mean without the bias of its beginning). */
export function smooth(points, weight = 0.9) {
  let mean = 0;
  let share = 0;
  return points.map(([x, y]) => {
    if (!Number.isFinite(y)) return [x, null];
    mean = weight * mean + (1 - weight) * y;
    share = weight * share + (1 - weight);
    return [x, mean / share];
  });
}

/** Curves of one training; `update()` draws them anew. */
export function curves(figures) {
  const x = { label: t("training.step") };
  const loss = () => [
    { name: t("training.loss.smooth"), points: smooth(figures.steps("loss")) },
    { name: t("training.loss.eval"), points: figures.evals("eval_loss") },
    { name: t("training.loss"), points: figures.steps("loss") },
  ].filter((one, n) => n !== 1 || one.points.length > 0);
  const one = (key, name) => () => [{ name, points: figures.steps(key) }];
  const memory = () => [
    { name: t("training.memoryNow"), points: figures.steps("memory").filter(([, value]) => value !== undefined) },
    { name: t("training.peak"), points: figures.steps("peak_memory") },
  ].filter((one, n) => n === 1 || one.points.length > 0);
  const list = [
    [t("training.curve.loss"), loss, { y: { label: t("training.loss") }, height: 260 }],
    [t("training.curve.rate"), one("learning_rate", t("training.rate")), { y: { format: (v) => (v === 0 ? "0" : v.toExponential(1)) } }],
    [t("training.curve.speed"), one("tokens_per_s", t("training.speed")), { y: { format: (v) => number(v, { maximumFractionDigits: 0 }), min: 0 } }],
    [t("training.curve.memory"), memory, { y: { format: bytes, min: 0 } }],
  ];
  const charts = list.map(([title, series, options]) => ({ series, chart: lineChart({ title, x, height: 200, ...options, series: series() }), title }));
  const element = h("div", { class: "curves" }, charts.map(({ chart, title }, n) => h("section", { class: ["card", n === 0 && "whole"] }, h("h2", {}, title), chart)));
  return { element, update: () => charts.forEach(({ chart, series }) => chart.update(series())) };
}
