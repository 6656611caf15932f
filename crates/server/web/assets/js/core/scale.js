// The arithmetic of charts: bounds, ticks, thinning.

/** Whether a value can be drawn. */
export const plain = (v) => typeof v === "number" && Number.isFinite(v);

/** Least and greatest of a coordinate, with those that were given; never empty. */
export function bounds(points, axis, { min, max } = {}) {
  let low = Infinity;
  let high = -Infinity;
  for (const point of points) {
    const v = point[axis];
    if (v < low) low = v;
    if (v > high) high = v;
  }
  low = min ?? (low === Infinity ? 0 : low);
  high = max ?? (high === -Infinity ? low + 1 : high);
  if (high <= low) {
    const room = Math.abs(low) * 0.1 || 1;
    if (min === undefined) low -= room;
    high = low + 2 * room;
  }
  // A little room above and below the line, where the bounds are the data's own.
  if (axis === 1) {
    const room = (high - low) * 0.06;
    if (max === undefined) high += room;
    if (min === undefined) low = low >= 0 && low < room * 4 ? 0 : low - room;
  }
  return [low, high];
}

const TIME_STEPS = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 604800].map((s) => s * 1000);

/** Round values between the bounds, about `wanted` of them. */
export function ticks([low, high], wanted, time = false) {
  const rough = (high - low) / wanted;
  let step;
  if (time) {
    step = TIME_STEPS.find((s) => s >= rough) ?? Math.ceil(rough / 604_800_000) * 604_800_000;
  } else {
    const power = 10 ** Math.floor(Math.log10(rough));
    step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  }
  const out = [];
  for (let n = Math.ceil(low / step); n * step <= high && out.length < 50; n += 1) out.push(Number((n * step).toPrecision(12)));
  return out;
}

/** At most about `2 * places` points: of each place the least and the greatest, so that peaks stay. */
export function thin(points, places) {
  if (points.length <= places * 2) return points;
  const out = [];
  const per = points.length / places;
  for (let place = 0; place < places; place += 1) {
    let low = null;
    let high = null;
    for (let n = Math.floor(place * per); n < Math.floor((place + 1) * per); n += 1) {
      const v = points[n][1];
      if (!plain(v)) continue;
      if (low === null || v < points[low][1]) low = n;
      if (high === null || v > points[high][1]) high = n;
    }
    if (low === null) {
      out.push(points[Math.floor(place * per)]);
      continue;
    }
    out.push(points[Math.min(low, high)]);
    if (low !== high) out.push(points[Math.max(low, high)]);
  }
  return out;
}

/** The point whose x is nearest, of points in order of x. */
export function nearest(points, x) {
  if (points.length === 0) return null;
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (points[mid][0] < x) low = mid + 1;
    else high = mid;
  }
  const before = points[Math.max(0, low - 1)];
  return Math.abs(before[0] - x) < Math.abs(points[low][0] - x) ? before : points[low];
}
