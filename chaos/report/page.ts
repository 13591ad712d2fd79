/** The report as a page for people, in Markdown. */
import type { Waits } from './latency';
import { methods, type Report } from './report';
import { sumOf, type Verdict } from '../judge/verdict';

/** Stories told on the page; the JSON has more. */
const storiesTold = 20;

/** Findings told on the page for each rule. */
const findingsTold = 10;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
const mebibytes = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
const fixed = (figure: number | null): string => (figure === null ? 'no booking' : figure.toFixed(1));

/** A cell must stay one line and one cell. */
const cell = (value: string | number): string => String(value).replaceAll('|', '\\|').replaceAll('\n', ' ');

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const line = (cells: readonly (string | number)[]): string => `| ${cells.map(cell).join(' | ')} |`;
  if (rows.length === 0) return ['None.', ''];
  return [line(head), line(head.map(() => '---')), ...rows.map(line), ''];
}

function summary(report: Report): string[] {
  const { verdicts, faults, drainMs, payers } = report;
  const red = verdicts.filter(({ broken }) => broken.length > 0);
  const whole = report.unproved.length === 0 ? '' : ' **But the run proves too little.**';
  const said =
    red.length === 0
      ? `All ${verdicts.length} invariants hold.${whole}`
      : `**${red.length} of ${verdicts.length} invariants are broken: ${red.map(({ name }) => name).join(', ')}.**`;
  return [
    `# Chaos run, start value ${report.startValue}`,
    '',
    said,
    '',
    ...(report.unproved.length === 0 ? [] : [...report.unproved.map((one) => `- ${one}`), '']),
    ...table(
      ['What', 'Figure'],
      [
        ['Load began', report.loadFrom],
        ['Customers', report.visits],
        ['Attempts', report.attempts],
        [
          'Faults landed, of those planned',
          `${sumOf(faults, (one) => one.landed)} of ${sumOf(faults, (one) => one.planned)}`,
        ],
        [
          'Paid at a gateway: of them booked, refunded, in cases, lost',
          `${payers.paid}: ${payers.booked}, ${payers.refunded}, ${payers.inCases}, ${payers.lost}`,
        ],
        ['Looks during the run', report.samples],
        [
          'Longest pause without a confirmation while somebody who paid waited',
          seconds(report.longestPauseMs),
        ],
        [
          'From the last fault until everything was over',
          drainMs === null ? 'it never was' : seconds(drainMs),
        ],
        ['Calls at the gateways for each booking', fixed(report.callsPerBooking)],
        ['Webhook sendings for each booking', fixed(report.webhooksPerBooking)],
        [
          'Mails, and of them repeats of one Message-ID',
          `${report.mails.arrived}, ${report.mails.rawDuplicates}`,
        ],
        ...report.replayed.map(({ build, histories }) => [`Histories replayed with ${build}`, histories]),
      ],
    ),
  ];
}

function holds({ checked, broken }: Verdict): string {
  if (broken.length > 0) return `**broken ${broken.length} times**`;
  return checked === 0 ? 'nothing to look at' : 'holds';
}

function invariants({ verdicts }: Report): string[] {
  return [
    '## Invariants',
    '',
    'Those of S hold at every moment (samples and the end), those of L once everything is quiet.',
    '',
    ...table(
      ['', 'What must hold', 'Looked at', 'Verdict'],
      verdicts.map((verdict) => [verdict.name, verdict.rule, verdict.checked, holds(verdict)]),
    ),
  ];
}

function whatBroke({ verdicts }: Report): string[] {
  const red = verdicts.filter(({ broken }) => broken.length > 0);
  if (red.length === 0) return [];
  return [
    '## What broke',
    '',
    ...red.flatMap(({ name, broken }) => [
      ...broken
        .slice(0, findingsTold)
        .map(
          ({ text, bookingId, gateway }) =>
            `- ${name}: ${[bookingId, gateway].filter((one) => one !== undefined).join(', ') || 'the run'}: ${text}`,
        ),
      ...(broken.length > findingsTold ? [`- ${name}: ${broken.length - findingsTold} more.`] : []),
    ]),
    '',
  ];
}

function becameOf({ outcomes, money, faults }: Report): string[] {
  return [
    '## What became of the attempts',
    '',
    ...table(
      ['Outcome', ...methods, 'all'],
      outcomes.map(({ outcome, by, all }) => [outcome, ...methods.map((one) => by[one] ?? 0), all]),
    ),
    '## Money',
    '',
    'In the smallest unit of each currency: captured = booked + refunded + in open cases.',
    '',
    ...table(
      ['Currency', 'Captured', 'Booked', 'Refunded', 'In open cases'],
      Object.entries(money).map(([currency, { captured, booked, refunded, inCases }]) => [
        currency,
        captured,
        booked,
        refunded,
        inCases,
      ]),
    ),
    '## Faults',
    '',
    ...table(
      ['Kind', 'Planned', 'Landed', 'Longest from the blow to the next booking'],
      faults.map(({ kind, planned, landed, untilBookedMs }) => [
        kind,
        planned,
        landed,
        untilBookedMs === null ? '' : seconds(untilBookedMs),
      ]),
    ),
  ];
}

function latency({ latency: { untilBooked, untilTold } }: Report): string[] {
  const row = (what: string, when: string, waits: Waits | undefined): (string | number)[] =>
    waits === undefined
      ? [what, when, 0, '', '', '']
      : [what, when, waits.count, seconds(waits.p50), seconds(waits.p99), seconds(waits.max)];
  return [
    '## From paid to confirmed',
    '',
    'From the moment the gateway’s page said that the money is there. A fault counts as under way from its start until 2 s after its end, for everybody who waited at any time within; the rest are without. Payments from the wallet book at once and are not among these.',
    '',
    ...table(
      ['Until', 'Faults', 'Payers', 'p50', 'p99', 'longest'],
      [
        row('the booking stands', 'none under way', untilBooked.calm),
        row('the booking stands', 'under way', untilBooked.underFault),
        row('the customer read so', 'none under way', untilTold.calm),
        row('the customer read so', 'under way', untilTold.underFault),
      ],
    ),
  ];
}

function resources({ footprints, connections }: Report): string[] {
  return [
    '## Resources before and after',
    '',
    ...table(
      ['Process', 'Files before', 'after', 'Memory before', 'after'],
      [
        ...footprints.map(({ name, before, after }) => [
          name,
          before.files,
          after?.files ?? 'gone',
          mebibytes(before.memory),
          after === undefined ? 'gone' : mebibytes(after.memory),
        ]),
        ['connections to the database', connections.before, connections.after, '', ''],
      ],
    ),
  ];
}

function failure({ failure: found, startValue, loadFrom }: Report): string[] {
  if (found === undefined) return [];
  const { faults, stories, brokenAttempts } = found;
  const began = Date.parse(loadFrom);
  return [
    '## To play it again',
    '',
    `Start value ${startValue}. Faults as they were played, times from the start of the load:`,
    '',
    ...table(
      ['Kind', 'From', 'To', 'Proof'],
      faults.map(({ kind, from, to, proof }) => [
        kind,
        seconds(from - began),
        seconds(to - began),
        proof ?? 'none',
      ]),
    ),
    '## Stories of the broken attempts',
    '',
    ...(brokenAttempts > storiesTold
      ? [`${storiesTold} of ${brokenAttempts}; the JSON has ${stories.length}.`, '']
      : []),
    ...stories
      .slice(0, storiesTold)
      .flatMap(({ bookingId, rules, lines }) => [
        `### ${bookingId} (${rules.join(', ')})`,
        '',
        '```text',
        ...lines,
        '```',
        '',
      ]),
  ];
}

/** The report in Markdown. */
export function pageOf(report: Report): string {
  return [summary, whatBroke, invariants, becameOf, latency, resources, failure]
    .flatMap((part) => part(report))
    .join('\n');
}
