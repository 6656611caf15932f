// Line charts as SVG.
//
//   const chart = lineChart({title, x, y, series: [{name, points: [[x, y], …]}], height = 220})
//   page.append(chart);  chart.update(series);
//
// x and y: {label, format?: (value) => text, min?, max?}; x.time: true where x is milliseconds since 1970.
// Null and NaN in y are gaps. The element is a <figure>: the drawing with <title> and <desc>, a legend, values under the
// pointer, and a table of the same values behind <details> for keyboards and screen readers. It follows its width. Lines
// differ by colour (--series-1 … 6) and by dashes. Long series are thinned to what the width can show; peaks stay.

import { h, replace, svg, uid } from "./dom.js";
import { throttleFrame } from "./format.js";
import { date, number, t, time } from "./i18n.js";
import { bounds, nearest, plain, thin, ticks } from "./scale.js";

const PAD = { top: 12, right: 12, bottom: 40, left: 56 };
const DASHES = ["", "6 3", "2 3", "8 3 2 3", "12 4", "4 4"];
/** Most rows of the table. */
const ROWS = 60;

/** A chart of lines. */
export function lineChart({ series, title, x = {}, y = {}, height = 220 }) {
  const id = uid("chart");
  const drawing = svg("svg", { class: "chart-drawing", role: "img", "aria-labelledby": `${id}-t ${id}-d`, height });
  const legend = h("figcaption", { class: "chart-legend" });
  const table = h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": title });
  const details = h("details", { class: "chart-table" }, h("summary", {}, t("core.chart.table")), table);
  const figure = h("figure", { class: "chart" }, drawing, legend, details);
  const formatX = x.format ?? (x.time ? time : (v) => number(v));
  const formatY = y.format ?? ((v) => number(v, { maximumSignificantDigits: 4 }));
  let width = 0;
  let current = series;
  let frame = null;

  const draw = () => {
    width = figure.clientWidth || 600;
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    frame = frameOf(current, { x, y, width, height });
    replace(drawing,
      svg("title", { id: `${id}-t`, text: title }),
      svg("desc", { id: `${id}-d`, text: summary(current, formatY) }),
      axes(frame, { x, y, formatX, formatY, width, height }),
      current.map((one, n) => line(one, n, frame, width)),
      svg("g", { class: "chart-cursor" }));
    if (current.every((one) => one.points.length === 0)) {
      drawing.append(svg("text", { class: "chart-none", x: width / 2, y: height / 2, "text-anchor": "middle", text: t("core.chart.none") }));
    }
    unpoint();
    if (details.open) fill();
  };
  const unpoint = () => {
    replace(drawing.querySelector(".chart-cursor"));
    replace(legend, current.map((one, n) => entry(one.name, n, null)));
  };
  const fill = () => replace(table, tableOf(current, { x, formatX: x.time ? (v) => date(v, { dateStyle: "short", timeStyle: "medium" }) : formatX, formatY }));
  const point = throttleFrame((clientX) => {
    const at = frame.toX.inverse(clientX - drawing.getBoundingClientRect().left);
    const found = current.map((one) => nearest(one.points, at));
    const best = found.filter(Boolean).sort((a, b) => Math.abs(a[0] - at) - Math.abs(b[0] - at))[0];
    if (clientX === null || !best) {
      unpoint();
      return;
    }
    const px = frame.toX(best[0]);
    replace(drawing.querySelector(".chart-cursor"),
      svg("line", { x1: px, x2: px, y1: PAD.top, y2: height - PAD.bottom }),
      found.map((p, n) => p && plain(p[1]) && svg("circle", { class: `series-${(n % 6) + 1}`, cx: frame.toX(p[0]), cy: frame.toY(p[1]), r: 3.5 })));
    replace(legend,
      h("span", { class: "chart-at" }, `${x.label ? `${x.label} ` : ""}${formatX(best[0])}`),
      current.map((one, n) => entry(one.name, n, found[n] && plain(found[n][1]) ? formatY(found[n][1]) : "–")));
  });
  drawing.addEventListener("pointermove", (event) => point(event.clientX));
  drawing.addEventListener("pointerleave", () => point(null));
  details.addEventListener("toggle", () => details.open && fill());
  const again = throttleFrame(draw);
  new ResizeObserver(() => figure.clientWidth !== width && again()).observe(figure);
  draw();
  figure.update = (next) => {
    current = next;
    again();
  };
  return figure;
}

const entry = (name, n, value) =>
  h("span", { class: "chart-key" },
    svg("svg", { width: 22, height: 8, "aria-hidden": "true" },
      svg("line", { class: `series series-${(n % 6) + 1}`, x1: 0, x2: 22, y1: 4, y2: 4, "stroke-dasharray": DASHES[n % 6] || null })),
    h("span", {}, name), value !== null && h("strong", {}, value));

function frameOf(series, { x, y, width, height }) {
  const points = series.flatMap((one) => one.points).filter(([, v]) => plain(v));
  const xs = bounds(points, 0, x);
  const ys = bounds(points, 1, y);
  const scale = ([low, high], from, to) => {
    const map = (v) => from + ((v - low) / (high - low)) * (to - from);
    map.inverse = (px) => low + ((px - from) / (to - from)) * (high - low);
    return map;
  };
  return { xs, ys, toX: scale(xs, PAD.left, width - PAD.right), toY: scale(ys, height - PAD.bottom, PAD.top) };
}

function axes({ xs, ys, toX, toY }, { x, y, formatX, formatY, width, height }) {
  const bottom = height - PAD.bottom;
  const across = ticks(xs, Math.max(2, Math.floor(width / 110)), x.time);
  const up = ticks(ys, Math.max(2, Math.floor(height / 50)));
  return svg("g", { class: "chart-axes" },
    up.map((v) => [
      svg("line", { x1: PAD.left, x2: width - PAD.right, y1: toY(v), y2: toY(v) }),
      svg("text", { x: PAD.left - 6, y: toY(v) + 4, "text-anchor": "end", text: formatY(v) }),
    ]),
    across.map((v) => svg("text", { x: toX(v), y: bottom + 16, "text-anchor": "middle", text: formatX(v) })),
    svg("line", { class: "base", x1: PAD.left, x2: width - PAD.right, y1: bottom, y2: bottom }),
    x.label && svg("text", { class: "chart-label", x: width - PAD.right, y: height - 6, "text-anchor": "end", text: x.label }),
    y.label && svg("text", { class: "chart-label", x: 4, y: height - 6, text: y.label }));
}

function line({ name, points }, n, { toX, toY }, width) {
  const shown = thin(points, Math.max(100, width)).map(([px, v]) => [px, plain(v) ? v : null]);
  const lone = shown.filter(([, v], at) => v !== null && (shown[at - 1]?.[1] ?? null) === null && (shown[at + 1]?.[1] ?? null) === null);
  let d = "";
  let drawn = false;
  for (const [px, v] of shown) {
    if (v !== null) d += `${drawn ? "L" : "M"}${toX(px).toFixed(1)} ${toY(v).toFixed(1)}`;
    drawn = v !== null;
  }
  const props = { class: `series series-${(n % 6) + 1}`, "stroke-dasharray": DASHES[n % 6] || null };
  // A point between two gaps has no line.
  return svg("g", {},
    svg("path", { ...props, d, fill: "none" }, svg("title", { text: name })),
    lone.map(([px, v]) => svg("circle", { class: props.class, cx: toX(px).toFixed(1), cy: toY(v).toFixed(1), r: 2 })));
}

function summary(series, formatY) {
  const said = series.map(({ name, points }) => {
    const values = points.map(([, v]) => v).filter(plain);
    if (values.length === 0) return `${name}: ${t("core.chart.none")}`;
    const low = values.reduce((a, b) => Math.min(a, b));
    const high = values.reduce((a, b) => Math.max(a, b));
    return t("core.chart.summary", { name, low: formatY(low), high: formatY(high), last: formatY(values.at(-1)) });
  });
  return said.join("; ");
}

function tableOf(series, { x, formatX, formatY }) {
  const all = [...new Set(series.flatMap((one) => one.points.map(([v]) => v)))].sort((a, b) => a - b);
  const step = Math.max(1, Math.ceil(all.length / ROWS));
  const shown = all.filter((_, n) => n % step === 0 || n === all.length - 1);
  const maps = series.map((one) => new Map(one.points));
  return h("table", { class: "table" },
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, x.label ?? "x"), series.map((one) => h("th", { scope: "col", class: "num" }, one.name)))),
    h("tbody", {}, shown.map((v) =>
      h("tr", {}, h("th", { scope: "row" }, formatX(v)),
        maps.map((map) => h("td", { class: "num" }, plain(map.get(v)) ? formatY(map.get(v)) : "–"))))));
}
