/**
 * `npm run demo`: starts everything, plays booking attempts of every kind with their accidents, checks each, and stays
 * up so that you can look around and pay by hand. `-- --exit` ends after the story, with 0 only if every step was as told.
 */
import { parseArgs } from 'node:util';
import { afterSteps } from './demo-after';
import type { Price } from './customer';
import { cardSteps } from './demo-cards';
import { gatewaySteps } from './demo-gateways';
import { stageOf, type Line, type Step } from './demo-stage';
import { waySteps } from './demo-ways';
import { startStack, type Stack } from './stack';
import { makeToken } from './token';

/**
 * Payment window of the demo in seconds: longer than the payment watch's first look (15 s after opening), so that step 5
 * is found by the watch, and short enough to see one end.
 */
const windowSeconds = 20;

/** Longest window in seconds for whose end the demo waits. */
const longestWait = 60;

const say = (text: string) => process.stdout.write(`${text}\n`);
const money = (minor: number, { currency }: Price) =>
  minor === 0 ? '–' : `${currency} ${(minor / 100).toFixed(2)}`;

/** A step with its place in the story. */
type Numbered = Step & { number: number };

type Played = { step: Numbered; told: string; lines: Line[] } | { step: Numbered; error: unknown };

/** A line with the step that left it. */
type NumberedLine = Line & { step: number };

async function play(step: Numbered): Promise<Played> {
  try {
    return { step, ...(await step.play()) };
  } catch (error) {
    return { step, error };
  }
}

/**
 * Plays the steps and tells them in their order. Steps that wait for a window to end play beside the others, which
 * follow one another; the last one kills the worker, and the waiting ones must not mind.
 */
async function playAll(steps: readonly Numbered[]): Promise<{ lines: NumberedLine[]; failed: number }> {
  const lines: NumberedLine[] = [];
  let failed = 0;
  let before: Promise<unknown> = Promise.resolve();
  const playing = steps.map((step) => {
    if (step.waits === true) return play(step);
    const mine = before.then(() => play(step));
    before = mine;
    return mine;
  });
  for (const promise of playing) {
    const waiting = setInterval(() => say('   … this step takes a while'), 5_000);
    const result = await promise;
    clearInterval(waiting);
    const { number, title } = result.step;
    if ('told' in result) {
      say(`✔ ${number}. ${title}. ${result.told}`);
      lines.push(...result.lines.map((line) => ({ step: number, ...line })));
    } else {
      failed += 1;
      say(
        `✘ ${number}. ${title}. ${result.error instanceof Error ? result.error.message : String(result.error)}`,
      );
    }
  }
  return { lines, failed };
}

function tell(lines: readonly NumberedLine[], stack: Stack): void {
  const rows = lines.map(({ step, who, booking, moneyIn, moneyBack }) => [
    String(step),
    who,
    booking.status,
    money(moneyIn, booking.total),
    money(moneyBack, booking.total),
    stack.urls.temporalUi === undefined
      ? booking.id
      : `${stack.urls.temporalUi}/namespaces/default/workflows/${encodeURIComponent(`booking/${booking.id}`)}`,
  ]);
  const table = [['step', 'who', 'outcome', 'money in', 'money back', 'attempt in the Temporal UI'], ...rows];
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => (row[column] ?? '').length)),
  );
  say('');
  for (const row of table)
    say(
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    );
}

/** The API's own gauge, summed over currencies: 0 when every cent is accounted for. */
async function imbalance(stack: Stack): Promise<number> {
  const text = await (await fetch(`${stack.urls.api}/metrics`)).text();
  const values = text.split('\n').filter((row) => row.startsWith('money_imbalance_minor{'));
  if (values.length === 0) throw new Error('The API shows no money balance');
  return values.reduce((sum, row) => sum + Math.abs(Number(row.slice(row.lastIndexOf(' ')))), 0);
}

function tellWhere(stack: Stack): void {
  say(`\nTemporal UI  ${stack.urls.temporalUi ?? '(your own server)'}`);
  say(`Temporal     ${stack.temporal.address}   (for its CLI: TEMPORAL_ADDRESS)`);
  say(`API          ${stack.urls.api}   (its pages: /docs)`);
  if (stack.urls.mail !== undefined) say(`Mail sink    ${stack.urls.mail}`);
  for (const [name, url] of Object.entries(stack.urls.gateways)) {
    if (url !== undefined) say(`${name.padEnd(12)} ${url}/_sandbox   (sandbox)`);
  }
  say(`Logs         ${stack.logFolder}`);
}

/** How long the link that signs in stays good, in minutes: a session of the codec endpoint is no longer. */
const signInMinutes = 8 * 60;

/**
 * A link with an operator's token behind the #, which browsers send nowhere: its page fills the token in, and a click
 * signs in. Temporal's UI then shows what was sealed.
 */
async function tellSignIn(stack: Stack): Promise<void> {
  const token = await makeToken({ sub: 'demo-operator', scope: 'ops', minutes: signInMinutes }, stack.env);
  const where = stack.urls.temporalUi ?? stack.urls.api;
  say('\nThe Temporal UI shows sealed payloads. To read them, sign in there once:');
  say(`${where}/codec/sign-in#${token}`);
}

/** All steps in the order they are told; the one that kills the worker comes last of those that play one after another. */
function allSteps(stack: Stack): Numbered[] {
  const stage = stageOf(stack);
  const cards = cardSteps(stage);
  const steps = [
    ...cards.slice(0, -1),
    ...waySteps(stage),
    ...gatewaySteps(stage),
    ...afterSteps(stage),
    ...cards.slice(-1),
  ];
  return steps.map((step, index) => ({ ...step, number: index + 1 }));
}

function leftOutBecause(step: Step, stack: Stack): string | undefined {
  if (step.sandboxOf !== undefined && stack.urls.gateways[step.sandboxOf] === undefined) {
    return 'it needs the sandbox’s switches';
  }
  const seconds = Number(stack.env['PAYMENT_WINDOW_SECONDS']);
  if (step.windowMustEnd !== true || seconds <= longestWait) return undefined;
  return `nobody wants to wait ${seconds} seconds for the window to end`;
}

async function main(): Promise<number | undefined> {
  const { values } = parseArgs({ options: { exit: { type: 'boolean', default: false } } });
  const stack = await startStack({
    progress: (text) => say(`  ${text}`),
    settings: {
      PAYMENT_WINDOW_SECONDS: process.env['PAYMENT_WINDOW_SECONDS'] ?? String(windowSeconds),
      RATE_STARTS_PER_MINUTE: '1000',
    },
  });
  const steps = allSteps(stack).filter((step) => {
    const reason = leftOutBecause(step, stack);
    if (reason !== undefined) say(`– ${step.number}. ${step.title}. Left out: ${reason}.`);
    return reason === undefined;
  });
  say('');
  const { lines, failed } = await playAll(steps);
  tell(lines, stack);
  const off = await imbalance(stack);
  say(
    `\nMoney balance: ${off}${off === 0 ? ' (every cent is a booking or went back)' : ' — this must be 0'}`,
  );
  tellWhere(stack);
  const code = failed === 0 && off === 0 ? 0 : 1;
  if (values.exit) {
    await stack.stop();
    return code;
  }
  await tellSignIn(stack);
  say(
    '\nStill up. In another terminal: `npm run token -- --sub you --scope bookings`, `npm run pay -- <bookingId> [card]`.',
  );
  say('Ctrl-C ends everything; it takes some seconds.');
  return undefined;
}

main().then(
  (code) => {
    if (code !== undefined) process.exit(code);
  },
  (error: unknown) => {
    process.stderr.write(
      `The demo could not be played: ${error instanceof Error ? error.message : String(error)}\n`,
    );
    process.exit(1);
  },
);
