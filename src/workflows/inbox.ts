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
  setHandler(resolveCaseSignal, (given) => {
    const resolution = asResolution(given);
    if (resolution !== undefined) resolutions.push(resolution);
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

/** Longest text taken from a signal, in characters; ids are far shorter, and a note may be a page. */
const longestText = 2_000;

/** A text as PostgreSQL can hold it, or nothing. */
function asText(given: unknown): string | undefined {
  if (typeof given !== 'string' || given === '') return undefined;

  return given.slice(0, longestText).replace(/[\u0000-\u0008\u000b-\u001f]/g, ' ');
}

/** Who rings; anybody else is an operator. */
const knownRingers = ['webhook', 'return', 'watch', 'cancellation'] as const;

/** Instants before and after which a ring's time is not believed, as ms of Unix time: 2000 and 2200. */
const [earliest, latest] = [946_684_800_000, 7_258_118_400_000];

/** Signals can be typed by hand in the Temporal UI: whatever comes is a ring, and a wrong shape must not stop the workflow. */
function asRing(given: unknown): Ring {
  const ring = (typeof given === 'object' && given !== null ? given : {}) as Partial<
    Record<keyof Ring, unknown>
  >;
  const told = typeof ring.at === 'string' ? Date.parse(ring.at) : Number.NaN;
  const at = new Date(told > earliest && told < latest ? told : Date.now()).toISOString();
  const by = knownRingers.find((known) => known === ring.by) ?? 'operator';
  const [gateway, eventId, type, ref] = [ring.gateway, ring.eventId, ring.type, ring.ref].map(asText);
  return {
    by,
    at,
    ...(gateway === undefined ? {} : { gateway, ref: ref ?? null }),
    ...(ring.reversal === true ? { reversal: true as const } : {}),
    // An event is written down under its gateway: without all three it is none.
    ...(gateway === undefined || eventId === undefined || type === undefined ? {} : { eventId, type }),
  };
}

function asResolution(given: unknown): Resolution | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  const { caseId, action, note, by } = given as Partial<Record<keyof Resolution, unknown>>;
  const [id, word, why] = [caseId, action, note].map(asText);
  if (id === undefined || word === undefined) return undefined;
  return {
    caseId: id,
    // Any other word is refused by the activity, against the kind of the case.
    action: word as Resolution['action'],
    by: asText(by) ?? 'unnamed operator',
    ...(why === undefined ? {} : { note: why }),
  };
}
