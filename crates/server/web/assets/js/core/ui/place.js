// Where something that floats goes: beside its anchor, and wholly on the screen.

const GAP = 6;
const EDGE = 8;

/** Puts `floating` (position: fixed) below or above `anchor`, where there is room. */
export function place(floating, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = floating;
  const below = box.bottom + GAP;
  const above = box.top - GAP - height;
  const top = below + height <= innerHeight - EDGE || above < EDGE ? below : above;
  const left = Math.min(Math.max(EDGE, box.left), Math.max(EDGE, innerWidth - width - EDGE));
  floating.style.setProperty("top", `${Math.max(EDGE, Math.min(top, innerHeight - height - EDGE))}px`);
  floating.style.setProperty("left", `${left}px`);
}

/** Where floating things are appended: a modal dialog makes all that is outside it inert. */
export const layerOf = (anchor) => anchor.closest("dialog") ?? document.body;
