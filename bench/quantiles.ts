/** Medians and percentiles of what was measured. */

/** The smallest number that so large a share does not exceed (nearest rank); NaN of none. @param share 0 to 1 */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

/** Half of them are not above it. */
export const median = (numbers: readonly number[]): number => quantile(numbers, 0.5);
