/**
 * What rang at a workflow and what an operator decided. Handlers only put things here; the main function takes them out,
 * so nothing that arrives while the workflow works, or completes, is lost.
 */
import { condition, setHandler } from '@temporalio/workflow';
import { doorbellSignal, resolveCaseSignal, type Resolution, type Ring } from './messages';

export interface Inbox {
  /** Whether somebody rang since the last take. */
  rang(): boolean;
  /** Takes all rings out. */
  takeRings(): Ring[];
  /** Waits until an operator answers this case. Who ends the wait: the operator; a metric and a search attribute call one. */
  resolutionOf(caseId: string, orElse: () => boolean): Promise<Resolution | undefined>;
}

/** Registers the handlers. Call it before the first `await`: updates that find no handler are refused. */
export function openInbox(): Inbox {
  let rings: Ring[] = [];
  const resolutions: Resolution[] = [];
  setHandler(doorbellSignal, (ring) => {
    rings.push(asRing(ring));
  });
  setHandler(resolveCaseSignal, (resolution) => {
    if (isResolution(resolution))
      resolutions.push({ ...resolution, by: resolution.by || 'unnamed operator' });
  });
  return {
    rang: () => rings.length > 0,
    takeRings: () => {
      const taken = rings;
      rings = [];
      return taken;
    },
    resolutionOf: async (caseId, orElse) => {
      const mine = () => resolutions.findIndex((resolution) => resolution.caseId === caseId);
      await condition(() => mine() >= 0 || orElse());
      return mine() >= 0 ? resolutions.splice(mine(), 1)[0] : undefined;
    },
  };
}

/** Signals can be typed by hand in the Temporal UI: whatever comes is a ring, and a wrong shape must not stop the workflow. */
function asRing(given: unknown): Ring {
  const at = new Date().toISOString();
  if (typeof given !== 'object' || given === null) return { by: 'operator', at };
  const ring = given as Ring;
  return { ...ring, at: Number.isNaN(Date.parse(ring.at)) ? at : ring.at };
}

function isResolution(given: unknown): given is Resolution {
  if (typeof given !== 'object' || given === null) return false;
  const { caseId, action } = given as Partial<Resolution>;
  return typeof caseId === 'string' && typeof action === 'string';
}
