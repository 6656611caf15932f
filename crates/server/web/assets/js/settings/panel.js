// A panel that shows what the server tells, and asks again while it is seen.

import { h, replace } from "../core/dom.js";
import { errorState, skeleton } from "../core/ui.js";

/**
 * A panel: `ask(signal)` gives what the server tells, `show(told, again)` gives its nodes, or null where those that are
 * there have changed in place. With `everyMs` it is asked again while the panel and the page are seen.
 */
export function panel({ ask, show, everyMs = 0, lines = 6 }) {
  const element = h("div", {}, skeleton(lines));
  let timer = null;
  let seen = false;
  let running = null;
  const again = async () => {
    clearTimeout(timer);
    running?.abort();
    const call = new AbortController();
    running = call;
    try {
      const told = await ask(call.signal);
      if (running !== call) return;
      const nodes = show(told, again);
      if (nodes) replace(element, nodes);
    } catch (error) {
      if (error.name !== "AbortError" && running === call) replace(element, errorState(error, again));
    }
    if (seen && everyMs > 0 && running === call) timer = setTimeout(tick, everyMs);
  };
  const tick = () => (document.hidden ? (timer = setTimeout(tick, everyMs)) : again());
  const enter = () => {
    seen = true;
    again();
  };
  const leave = () => {
    seen = false;
    clearTimeout(timer);
  };
  return { element, enter, leave, again };
}
