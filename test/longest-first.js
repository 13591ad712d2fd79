/**
 * The order in which Jest plays files: those that last longest first, so that none is left to run alone at the end. Jest knows how long
 * they last only where it has played them before; on a fresh clone it would begin with those whose text is longest.
 */
const Sequencer = require('@jest/test-sequencer').default;

/** Files that last long on two cores, in about this order. */
const longest = [
  'property',
  'crashes',
  'cancel-crashes',
  'lost-answers',
  'idempotency-outages',
  'wallet-outages',
  'cancel-offering',
  'api-fuzz',
  'story-controls',
  'story-model',
  'disputes',
  'watch',
  'refund-races',
  'races-end-to-end',
  'chaos-supervisor',
  'schema',
  'idempotency',
  'races-after-end-to-end',
  'races-end-to-end-close',
  'reversals',
].map((name) => `/${name}.test.ts`);

/** Jest's own order, but for those. */
module.exports = class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const found = longest.findIndex((end) => path.endsWith(end));
      return found === -1 ? longest.length : found;
    };
    return super.sort(tests).sort((one, other) => rank(one) - rank(other));
  }
};
