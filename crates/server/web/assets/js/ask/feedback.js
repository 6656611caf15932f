// Thumbs, the reason for them, and the answer that would have been right.
//
// A thumb is sent at once; what is said afterwards changes what was sent, and the same thumb again takes it back.

import { api } from "../core/api.js";
import { h, replace, uid } from "../core/dom.js";
import { t } from "../core/i18n.js";
import { icon } from "../core/icons.js";
import { busy, report, toast } from "../core/ui.js";

/** As the server bounds them, in characters. */
const REASON_CHARS = 4_000;
const ANSWER_CHARS = 20_000;
const REASONS = { up: ["clear", "complete", "source"], down: ["wrong", "incomplete", "outdated", "badSource", "language"] };

/** Thumb up, thumb down, and "write the better answer"; the form comes into `place`. */
export function feedbackButtons(turn, place) {
  const thumb = (rating, name) => {
    const label = t(`ask.feedback.${rating}`);
    return h("button", { type: "button", class: "button icon quiet small", "aria-pressed": "false", "aria-label": label, title: label, onClick: (event) => rate(rating, event.currentTarget) }, icon(name, 16));
  };
  const thumbs = { up: thumb("up", "up"), down: thumb("down", "down") };
  const better = h("button", { type: "button", class: "button quiet small", "aria-label": t("ask.feedback.better"), title: t("ask.feedback.better"), onClick: () => show("down", true) },
    icon("edit", 16), h("span", { class: "button-words" }, t("ask.feedback.better")));

  const press = () => {
    for (const [rating, element] of Object.entries(thumbs)) element.setAttribute("aria-pressed", String(turn.feedback?.rating === rating));
  };

  press();

  async function rate(rating, element) {
    try {
      if (turn.feedback?.rating === rating) {
        await busy(element, api.del(`/v1/feedback/${turn.feedback.id}`));
        turn.feedback = null;
        press();
        replace(place);
        toast(t("ask.feedback.takenBack"));
        return;
      }
      // A reason for the other thumb is none for this one.
      await busy(element, send(turn.feedback ? { rating, reason: "" } : { rating }));
      press();
      show(rating, false);
    } catch (error) {
      report(error);
    }
  }

  async function send(change) {
    if (turn.feedback) {
      await api.patch(`/v1/feedback/${turn.feedback.id}`, change);
      Object.assign(turn.feedback, change);
      return;
    }
    const { question, summary } = turn;
    const stored = await api.post("/v1/feedback", { question, answer: summary.answer, citations: summary.citations.slice(0, 100), rating: "down", ...change });
    turn.feedback = { id: stored.id, rating: "down", ...change };
  }

  function show(rating, writing) {
    const close = () => {
      replace(place);
      thumbs[rating].focus({ preventScroll: true });
    };
    const form = feedbackForm({ rating, writing, turn, close, submit: async (change, element) => {
      try {
        await busy(element, send({ rating, ...change }));
      } catch (error) {
        report(error);
        return;
      }
      press();
      close();
      toast(t("ask.feedback.thanks"), { kind: "good" });
    } });
    replace(place, form);
    form.querySelector(writing ? ".better-answer" : ".chip")?.focus();
    form.scrollIntoView({ block: "nearest" });
  }

  return h("span", { class: "feedback-buttons", role: "group", "aria-label": t("ask.feedback.label") }, thumbs.up, thumbs.down, better);
}

function feedbackForm({ rating, writing, turn, close, submit }) {
  const [reasonId, betterId] = [uid("reason"), uid("better")];
  // What was said before: the words of a chip press it, the others are the person's own.
  const said = ((turn.feedback?.rating === rating && turn.feedback.reason) || "").split("; ").filter(Boolean);
  const words = REASONS[rating].map((name) => t(`ask.reason.${name}`));
  const own = said.filter((one) => !words.includes(one)).join("; ");
  const reason = h("input", { id: reasonId, type: "text", maxlength: REASON_CHARS, value: own, autocomplete: "off" });
  const chips = words.map((one) =>
    h("button", { type: "button", class: "chip", "aria-pressed": String(said.includes(one)), onClick: (event) => {
      const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(on));
    } }, one));
  const better = h("textarea", { id: betterId, class: "better-answer", rows: 4, maxlength: ANSWER_CHARS, value: turn.feedback?.better_answer ?? "", "aria-describedby": `${betterId}-hint` });
  const fields = h("div", { class: "field", hidden: !writing },
    h("label", { for: betterId }, t("ask.feedback.betterLabel")),
    better,
    h("p", { class: "hint", id: `${betterId}-hint` }, t("ask.feedback.betterHint")),
    h("p", {}, h("button", { type: "button", class: "button small", onClick: () => {
      better.value = turn.summary.answer;
      better.focus();
    } }, t("ask.feedback.startFrom"))));
  const reveal = rating === "down" && !writing && h("button", { type: "button", class: "button quiet small", onClick: (event) => {
    event.currentTarget.remove();
    fields.hidden = false;
    better.focus();
  } }, icon("edit", 16), t("ask.feedback.better"));
  const go = h("button", { type: "submit", class: "button primary small" }, t("ask.feedback.send"));
  return h("form", { class: "feedback-form", "aria-label": t("ask.feedback.label"),
    onSubmit: (event) => {
      event.preventDefault();
      const chosen = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.textContent);
      const change = { reason: [...chosen, reason.value.trim()].filter(Boolean).join("; ").slice(0, REASON_CHARS) };
      if (better.value.trim()) change.better_answer = better.value.trim();
      submit(change, go);
    },
    onKeydown: (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    } },
    h("p", { class: "feedback-title" }, t(`ask.feedback.why.${rating}`)),
    h("div", { class: "row chips", role: "group", "aria-label": t(`ask.feedback.why.${rating}`) }, chips),
    h("div", { class: "field" }, h("label", { for: reasonId }, t("ask.feedback.reason")), reason),
    fields,
    h("div", { class: "row" }, go, h("button", { type: "button", class: "button quiet small", onClick: close }, t("core.close")), reveal));
}
