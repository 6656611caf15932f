// One training: how far it is, its curves, and what a person may do with it.

import { api } from "../core/api.js";
import { h, replace } from "../core/dom.js";
import { bytes, dateTime, duration, number, t } from "../core/i18n.js";
import { busy, confirmDialog, copyButton, errorState, report, skeleton } from "../core/ui.js";
import { save } from "./compose.js";
import { curves, figuresOf } from "./figures.js";
import { button, facts, isOpen, poll, redraw, stateBadge } from "./parts.js";
import { trainerLine } from "./runs.js";

/** The view of training `id`. */
export function runView(id, choices) {
  const head = h("div", { class: "run-head" }, skeleton(3));
  const figures = figuresOf(id);
  const drawn = curves(figures);
  const config = h("div", {});
  const line = h("div", {});
  const element = h("div", { class: "run" }, h("p", {}, h("a", { href: "/training" }, t("training.back"))), line, head, drawn.element, config);
  let before = "";
  let done = false;

  const load = async () => {
    let training;
    try {
      training = await api.get(`/v1/trainings/${id}`);
    } catch (error) {
      if (error.status === 404) drawn.element.hidden = true;
      replace(head, errorState(error, load));
      before = null;
      throw error;
    }
    const now = JSON.stringify([training, Math.floor(Date.now() / 30_000)]);
    // A dialog gives the focus back to the button that opened it, which must still be there.
    const busyNow = head.querySelector("[aria-busy]") || document.querySelector("dialog[open]");
    if (!config.firstChild) replace(config, configCard(training));
    if (now !== before && !busyNow) {
      redraw(head, heading(training, load));
      before = now;
    }
    document.title = `${training.name} · Lore`;
    if (await figures.more(training.progress.step)) drawn.update();
    drawn.element.hidden = figures.count() === 0;
    if (training.state === "queued") {
      const { trainings, trainers } = await api.get("/v1/trainings");
      replace(line, trainerLine(trainers, trainings, choices));
    } else replace(line);
    done = !isOpen(training);
  };
  poll(load, 2000, () => !done);
  return element;
}

function heading(training, reload) {
  const { progress, state } = training;
  const phase = ["running", "stopping"].includes(state) ? t(`training.phase.${progress.phase}`) : null;
  const act = (name, run, options) => {
    const made = button(t(`training.${name}`), async () => {
      try {
        await busy(made, run());
        made.removeAttribute("aria-busy");
        await reload();
      } catch (error) {
        report(error);
      }
    }, { ...options, "data-focus": name });
    return made;
  };
  const post = (what) => () => api.post(`/v1/trainings/${training.id}/${what}`);
  const again = button(t("training.again"), () => {
    save({ name: "", config: training.config, outcome: training.outcome });
    location.assign("/training?tab=new");
  }, { name: "copy", "data-focus": "again" });
  const stop = async () => {
    if (await confirmDialog({ title: t("training.stop.q", { name: training.name }), text: t("training.stop.t"), confirm: t("training.stop"), danger: true })) await post("stop")();
  };
  const remove = button(t("core.delete"), async () => {
    if (!(await confirmDialog({ title: t("training.delete.q", { name: training.name }), text: t("training.delete.t"), confirm: t("core.delete"), danger: true }))) return;
    try {
      await api.del(`/v1/trainings/${training.id}`);
      location.assign("/training");
    } catch (error) {
      report(error);
    }
  }, { kind: "quiet danger", name: "trash", "data-focus": "delete" });
  const controls = [
    state === "running" && training.wanted !== "pause" && act("pause", post("pause"), { name: "pause" }),
    state === "queued" && act("pause", post("pause"), { name: "pause" }),
    (["paused", "stopped", "failed"].includes(state) || (state === "running" && training.wanted === "pause")) && act("resume", post("resume"), { kind: "primary", name: "play" }),
    ["running", "queued", "paused"].includes(state) && act("stop", stop, { name: "stop" }),
    again,
    !["running", "stopping"].includes(state) && remove,
  ];
  return h("div", {},
    h("div", { class: "page-head" }, h("h2", { class: "run-name" }, training.name), stateBadge(training), phase && h("span", { class: "dim" }, phase), h("div", { class: "row end" }, controls)),
    training.error && h("p", { class: "notice bad pre" }, training.error),
    h("div", { class: "card" },
      h("div", { class: "run-progress" },
        h("progress", { class: "progress", ...bar(progress), "aria-label": t("training.progress", { name: training.name }) }),
        h("span", { class: "num" }, progress.to_make
          ? t("training.making", { n: number(progress.made), of: number(progress.to_make) })
          : `${number(progress.step)} / ${progress.steps ? number(progress.steps) : "?"} ${t("training.stepsUnit")}`)),
      progress.asked !== undefined && h("p", {}, t("training.asked", { n: number(progress.asked) })),
      facts([
        [t("training.left"), state === "running" && progress.phase === "training" && progress.left !== undefined ? duration(progress.left) : null],
        [t("training.epoch"), progress.steps ? number(progress.epoch, { maximumFractionDigits: 2 }) : null],
        [t("training.loss"), progress.loss === undefined ? null : number(progress.loss, { maximumFractionDigits: 4 })],
        [t("training.loss.eval"), progress.eval_loss === undefined ? null : number(progress.eval_loss, { maximumFractionDigits: 4 })],
        [t("training.loss.best"), progress.best_loss === undefined ? null : number(progress.best_loss, { maximumFractionDigits: 4 })],
        [t("training.speed"), progress.tokens_per_s === undefined ? null : number(progress.tokens_per_s, { maximumFractionDigits: 0 })],
        [t("training.peak"), progress.peak_memory === undefined ? null : bytes(progress.peak_memory)],
        [t("training.examples"), progress.examples ? `${number(progress.examples)} + ${number(progress.held_out)} ${t("training.heldOutExamples")}` : null],
        [t("training.trained"), progress.values ? `${number(progress.trained)} / ${number(progress.values)}` : null],
        [t("training.checkpoint"), progress.checkpoint === undefined ? null : t("training.atStep", { n: number(progress.checkpoint) })],
        [t("training.created"), `${dateTime(training.created_at)} · ${training.by}`],
        [t("training.started"), training.started_at ? dateTime(training.started_at) : null],
        [t("training.ended"), training.ended_at ? dateTime(training.ended_at) : null],
        [t("training.theRelease"), training.release ? h("a", { href: `/training?tab=releases&release=${encodeURIComponent(training.release)}` }, t("training.seeRelease")) : null],
      ]),
      progress.notes?.length > 0 && h("ul", { class: "small notes" }, progress.notes.map((note) => h("li", { class: "pre" }, note)))));
}

/** How far the examples are while they are made, else the steps. */
const bar = ({ made, to_make: all, step, steps }) => (all ? { max: all, value: made } : { max: steps || 1, value: step });

const configCard = (training) =>
  h("details", { class: "card" },
    h("summary", {}, t("training.yaml")),
    h("div", { class: "toolbar" }, h("span", { class: "grow" }), copyButton(training.config)),
    h("pre", { tabindex: "0", "aria-label": t("training.yaml") }, training.config));
