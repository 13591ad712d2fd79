/** L7, L8, L9: the service comes back by itself, its histories replay, and it gives back what it used. */
import { bookingWorkflowId } from '../../src/workflows/messages';
import type { Evidence, Footprint } from '../evidence/evidence';
import { lookAtEach, together, unless, type Finding, type Rule } from './verdict';

/** Everything must be over so long after the last fault, in ms (reliability plan, L7). */
const recoveryMs = 60_000;

/** What may be open afterwards beyond what was before: a tenth. */
const share = 1.1;

/**
 * Or so many more, where a tenth is less than that: a process of 30 open files keeps a connection or two to each of three
 * gateways alive that it had not opened yet when it started.
 */
const few = 5;

/**
 * Memory may double, or grow by so many bytes. It does not come back as files do: V8 keeps its heap, the worker keeps
 * workflows cached that it has not met at its start, and PostgreSQL's shared pages count as its own once touched. A leak is
 * another matter: over 12,000 attempts 256 MiB are 22 kB for each, the size of one attempt with everything it read.
 */
const memoryBytes = 256 * 1024 * 1024;

export const recoversInTime: Rule = {
  name: 'L7',
  rule: 'Everything is over within 60 s after the last fault, with nobody’s help.',
  look({ quietAt, lastFaultEndedAt }) {
    const tookMs = quietAt === undefined ? Infinity : quietAt - lastFaultEndedAt;
    return {
      checked: 1,
      broken: unless(tookMs <= recoveryMs, () => ({
        text:
          quietAt === undefined
            ? 'Not everything was over when the run gave up waiting.'
            : `Everything was over ${(tookMs / 1000).toFixed(1)} s after the last fault.`,
      })),
    };
  },
};

export const historiesReplay: Rule = {
  name: 'L8',
  rule: 'Every attempt has its workflow, and every history of the run replays: with this build, and with an earlier one where the run was given one.',
  look: ({ replays, workflows, rows }) => {
    const known = new Set(workflows.map(({ workflowId }) => workflowId));
    return together(
      ...replays.map(({ build, replayed, broken }) => ({
        checked: replayed + broken.length,
        broken: [
          ...broken.map((text) => ({ text: `With ${build}: ${text}` })),
          // More may have begun since they were listed; fewer were left out.
          ...unless(replayed + broken.length >= workflows.length, () => ({
            text: `With ${build} only ${replayed + broken.length} of ${workflows.length} were replayed.`,
          })),
        ],
      })),
      lookAtEach(rows.attempts, ({ booking_id: bookingId }) =>
        unless(known.has(bookingWorkflowId(bookingId)), () => ({
          text: `Temporal knows of no workflow ${bookingWorkflowId(bookingId)}.`,
          bookingId,
        })),
      ),
    );
  },
};

/** Pools may stay filled: they had been empty at the start, and shrink only after half a minute without work. */
const returned = (before: number, after: number, pooled: number): boolean =>
  after <= Math.max(before * share, before + few) + pooled;

const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;

function lookAtProcess({ name, pooled, cached, before, after }: Footprint): Finding[] {
  if (after === undefined) return [{ text: `${name} is not running.` }];
  const memoryFits = after.memory <= Math.max(before.memory * 2, before.memory + memoryBytes) + cached;
  return [
    ...unless(returned(before.files, after.files, pooled), () => ({
      text: `${name} had ${before.files} files open and has ${after.files}.`,
    })),
    ...unless(memoryFits, () => ({
      text: `${name} had ${mebibytes(before.memory)} of memory and has ${mebibytes(after.memory)}.`,
    })),
  ];
}

export const resourcesReturn: Rule = {
  name: 'L9',
  rule: 'Connections and open files are back within 10 % of the start (or 5, where that is more) and what the pools may keep, and memory has neither doubled nor grown by 256 MiB, whichever is more, beside what Temporal caches.',
  look: ({ footprints, connections }: Evidence) =>
    together(
      lookAtEach(footprints, lookAtProcess),
      lookAtEach([connections], ({ before, after, pooled }) =>
        unless(returned(before, after, pooled), () => ({
          text: `The database had ${before} connections and has ${after}.`,
        })),
      ),
    ),
};
