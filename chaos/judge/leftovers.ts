/** L5: what an attempt that is over must not leave behind, at Temporal, at the gateways and in the database. */
import { isStanding, type Evidence } from '../evidence/evidence';
import { isOver, type Stories } from './story';
import { lookAtEach, together, unless, type Look, type Rule } from './verdict';

/** Where an unpaid object can be closed. At the others it stays payable; the watch looks on, and what comes goes back. */
const closing: readonly string[] = ['stripe'];

function lookAtWorkflows({ workflows, rows }: Evidence): Look {
  const keepers = new Set(
    rows.cases.filter(({ resolved_at }) => resolved_at === null).map(({ workflow_id }) => workflow_id),
  );
  return lookAtEach(
    workflows.filter(({ status }) => status === 'RUNNING'),
    ({ workflowId, type, history }) =>
      unless(isStanding(workflowId) || keepers.has(workflowId), () => ({
        text: `Workflow ${workflowId} (${type}) still runs, ${history} events long.`,
      })),
  );
}

function lookAtObjects({ objects }: Evidence, stories: Stories): Look {
  const owned = stories.all.flatMap((story) => story.objects.map((object) => ({ object, story })));
  const known = new Set(owned.map(({ object }) => object));
  const strays = objects.filter((object) => !known.has(object));
  const closable = [...owned, ...strays.map((object) => ({ object, story: undefined }))].filter(
    ({ object }) => closing.includes(object.gateway) && object.told,
  );
  return lookAtEach(closable, ({ object, story }) => {
    const status = story?.attempt?.status;
    return unless(!object.payable || (status !== undefined && !isOver(status)), () => ({
      text: `${object.gateway} would still take money for ${object.ref}; its attempt is ${status ?? 'unknown'}.`,
      gateway: object.gateway,
      ...(story && { bookingId: story.bookingId }),
    }));
  });
}

function lookAtHolds({ rows }: Evidence, stories: Stories): Look {
  return lookAtEach(
    rows.seats.filter(({ held_by }) => held_by !== null),
    ({ offering_id, seat_no, held_by }) => {
      const bookingId = held_by ?? '';
      const status = stories.of(bookingId)?.attempt?.status;
      return unless(status !== undefined && !isOver(status), () => ({
        text: `Seat ${seat_no} of ${offering_id} is held by an attempt that is ${status ?? 'unknown'}.`,
        bookingId,
      }));
    },
  );
}

function lookAtRefunds({ rows }: Evidence): Look {
  const inCase = new Set(
    rows.cases.filter(({ resolved_at }) => resolved_at === null).map(({ payment_id }) => payment_id),
  );
  const bookings = new Map(rows.payments.map(({ id, booking_id }) => [id, booking_id]));
  return lookAtEach(rows.refunds, ({ id, payment_id, status, amount_minor }) => {
    const bookingId = bookings.get(payment_id);
    const waits = status === 'unsent' || status === 'pending';
    return unless(!waits || inCase.has(payment_id), () => ({
      text: `Refund ${id} of ${amount_minor} is still ${status}.`,
      ...(bookingId && { bookingId }),
    }));
  });
}

function lookAtMessages({ rows }: Evidence): Look {
  return lookAtEach(rows.messages, ({ booking_id: bookingId, kind, recipient, sent_at }) =>
    unless(sent_at !== null, () => ({
      text: `The message ${kind} to ${recipient} is still unsent.`,
      bookingId,
    })),
  );
}

export const nothingLeft: Rule = {
  name: 'L5',
  rule: 'Nothing is left of attempts that are over: no workflow, no payable object where it can be closed, no held seat, no refund or message under way.',
  look: (evidence, stories) =>
    together(
      lookAtWorkflows(evidence),
      lookAtObjects(evidence, stories),
      lookAtHolds(evidence, stories),
      lookAtRefunds(evidence),
      lookAtMessages(evidence),
    ),
};
