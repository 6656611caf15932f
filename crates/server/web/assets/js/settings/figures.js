// What happened in the last hours, as tiles and small charts.

import { api } from "../core/api.js";
import { lineChart } from "../core/chart.js";
import { h, replace } from "../core/dom.js";
import { dateTime, duration, number, percent, t, time } from "../core/i18n.js";
import { panel } from "./panel.js";

const HOURS = [1, 3, 6, 12, 24];
const EVERY_MS = 15_000;
const HEIGHT = 170;

/** The panel of figures. */
export function figuresPanel() {
  let hours = 6;
  const tiles = h("dl", { class: "tiles" });
  const charts = h("div", { class: "charts" });
  const note = h("p", { class: "small dim" });
  let drawn = null;
  // One for all charts; its bounds move with the time.
  const x = { label: t("settings.time"), time: true, format: time };
  const pick = h("div", { class: "row", role: "group", "aria-label": t("settings.figures.hours") },
    HOURS.map((n) => h("button", { type: "button", class: "chip", "aria-pressed": String(n === hours), onClick: (event) => {
      hours = n;
      for (const chip of pick.children) chip.setAttribute("aria-pressed", String(chip === event.currentTarget));
      made.again();
    } }, t("settings.figures.lastHours", { n }))));
  const show = (told) => {
    replace(tiles, tilesOf(told));
    note.textContent = t("settings.figures.note", {
      since: dateTime(told.since), step: duration(told.step_minutes * 60), error: percent(told.quantile_error),
    });
    const kinds = kindsOf(told);
    x.min = Date.parse(told.spans[0].at);
    x.max = Math.max(Date.parse(told.spans.at(-1).at), x.min + 60_000);
    // Charts stay where they are, so that a table which somebody opened stays open.
    if (drawn) drawn.forEach((chart, n) => chart.update(kinds[n].series));
    else {
      drawn = kinds.map((kind) => lineChart({ ...kind, height: HEIGHT, x }));
      replace(charts, drawn.map((chart, n) => h("section", { class: "card", "aria-label": kinds[n].title }, h("h2", {}, kinds[n].title), chart)));
    }
    return tiles.parentNode ? null : [tiles, charts, note];
  };
  const made = panel({ ask: (signal) => api.get("/v1/figures", { hours }, { signal }), show, everyMs: EVERY_MS, lines: 8 });
  return { ...made, element: h("div", {}, h("div", { class: "toolbar" }, pick), made.element) };
}

const all = ({ answered, refused, failed, cancelled }) => answered + refused + failed + cancelled;

function tilesOf({ total, spans }) {
  const asked = all(total.questions);
  const ended = total.questions.answered + total.questions.refused;
  const share = (n, of) => (of > 0 ? percent(n / of) : "–");
  const quantiles = (key, q) => tile(key, q ? duration(q.p50) : "–", q ? t("settings.tile.p95", { p95: duration(q.p95) }) : t("settings.tile.none"));
  const now = spans.at(-1)?.waiting;
  const waiting = now ? Object.values(now).reduce((sum, n) => sum + n, 0) : null;
  const tile = (key, value, hint) => h("div", { class: "tile" }, h("dt", {}, t(`settings.tile.${key}`)), h("dd", {}, value, hint && h("span", { class: "small dim" }, hint)));
  return [
    tile("questions", number(asked), t("settings.tile.questions.hint", { failed: number(total.questions.failed), cancelled: number(total.questions.cancelled) })),
    tile("refused", share(total.questions.refused, ended), t("settings.tile.of", { n: number(total.questions.refused), all: number(ended) })),
    quantiles("took", total.took),
    quantiles("first", total.first_token),
    tile("searches", number(total.searches), total.search_took && t("settings.tile.searches.hint", { p50: duration(total.search_took.p50), p95: duration(total.search_took.p95) })),
    tile("feedback", total.up + total.down > 0 ? `${number(total.up)} / ${number(total.down)}` : "–", t("settings.tile.upDown")),
    tile("waiting", waiting === null ? "–" : number(waiting), t("settings.tile.waiting.hint")),
  ];
}

function kindsOf(told) {
  const since = Date.parse(told.since) - told.step_minutes * 60_000;
  const series = (name, of) => ({
    name,
    // Before the start of the process nothing is known, which is not nought.
    points: told.spans.map((span) => [Date.parse(span.at), Date.parse(span.at) < since ? null : of(span) ?? null]),
  });
  const count = { min: 0, format: (v) => number(v, { maximumFractionDigits: 1 }) };
  const seconds = { min: 0, format: duration };
  const name = (key) => t(`settings.series.${key}`);
  const queue = (key) => series(name(key), (s) => s.waiting?.[key]);
  return [
    { title: t("settings.chart.questions"), y: count, series: [
      series(name("answered"), (s) => s.questions.answered), series(name("refused"), (s) => s.questions.refused),
      series(name("failed"), (s) => s.questions.failed + s.questions.cancelled)] },
    { title: t("settings.chart.took"), y: seconds, series: [series("p50", (s) => s.took?.p50), series("p95", (s) => s.took?.p95)] },
    { title: t("settings.chart.first"), y: seconds, series: [series("p50", (s) => s.first_token?.p50), series("p95", (s) => s.first_token?.p95)] },
    { title: t("settings.chart.searches"), y: count, series: [series(name("searches"), (s) => s.searches)] },
    { title: t("settings.chart.feedback"), y: count, series: [series(name("up"), (s) => s.up), series(name("down"), (s) => s.down)] },
    { title: t("settings.chart.queues"), y: count, series: ["questions", "embedder", "generator", "jobs", "uploads"].map(queue) },
  ];
}
