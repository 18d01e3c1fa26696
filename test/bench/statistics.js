/**
 * Quantile by linear interpolation between the two nearest samples.
 *
 * @param {readonly number[]} samples at least one
 * @param {number} q 0 to 1
 */
function quantile(samples, q) {
  const sorted = [...samples].sort((a, b) => a - b);
  const position = (sorted.length - 1) * q;
  const below = Math.floor(position);
  const low = /** @type {number} */ (sorted[below]);
  const high = sorted[below + 1] ?? low;
  return low + (high - low) * (position - below);
}

/**
 * @typedef {{ median: number, low: number, high: number }} Spread median and quartiles
 */

/**
 * @param {readonly number[]} samples
 * @returns {Spread}
 */
export function spread(samples) {
  return { median: quantile(samples, 0.5), low: quantile(samples, 0.25), high: quantile(samples, 0.75) };
}
