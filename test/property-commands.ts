/** Random lists of commands: each command is one deed, several at once, or a scene of a few rounds. */
import fc from 'fast-check';
import { anyDeed, passing, publishing, scenes, type Deed } from './property-deeds';
import type { Model } from './property-model';
import type { Shop } from './property-shop';

class Command implements fc.AsyncCommand<Model, Shop> {
  /** Deeds of one round come at once; before the next the shop is quiet. */
  constructor(private readonly rounds: readonly Deed[][]) {}

  check = (model: Readonly<Model>) => this.rounds[0]?.every((part) => part.possible(model)) === true;

  async run(model: Model, shop: Shop): Promise<void> {
    for (const round of this.rounds) {
      if (!round.every((part) => part.possible(model))) return;
      model.racing = round.length > 1;
      // Lost goes, too: `open` gives up after a few.
      const mishapsAhead = shop.gateway.ahead.length + shop.temporal.ahead.length > 0;
      await Promise.all(round.map((part) => part.act(model, shop)));
      await shop.temporal.quiet();
      expect(shop.temporal.faults).toEqual([]);
      await model.sync(shop, mishapsAhead);
    }
  }

  toString = () =>
    this.rounds
      .map((round) => round.map((part) => part.name).join(', '))
      .map((names, n) => (this.rounds[n]?.length === 1 ? names : `atOnce(${names})`))
      .join(' then ');
}

const single = anyDeed.map((part) => new Command([[part]]));
const atOnce = fc.array(anyDeed, { minLength: 2, maxLength: 4 }).map((parts) => new Command([parts]));
const time = passing.map((part) => new Command([[part]]));
const scene = fc.oneof(...scenes).map((rounds) => new Command(rounds));

/** Longest list. Longer ones find nothing that these do not, and take longer to shrink. */
const commandsMax = 40;

/** A list of commands, beginning with offerings; `replayPath` is fast-check's own, from an earlier failure. */
export function commandLists(replayPath: string | undefined) {
  const many = fc.commands([single, single, single, single, atOnce, atOnce, scene, scene, time], {
    maxCommands: commandsMax,
    size: 'max',
    ...(replayPath === undefined ? {} : { replayPath }),
  });
  return fc.tuple(fc.array(publishing, { minLength: 1, maxLength: 3 }), many);
}
