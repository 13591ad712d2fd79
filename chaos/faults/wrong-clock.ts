/**
 * Loaded before everything else (`node --require`) into a worker whose clock is to be wrong by CLOCK_OFF_MS: everything in
 * JavaScript sees that time. The clock of Temporal's core, which is native, stays right; a whole machine's would not.
 */
const offMs = Number(process.env['CLOCK_OFF_MS'] ?? 0);
const RightDate = Date;

class WrongDate extends RightDate {
  constructor(...given: []) {
    if (given.length === 0) super(RightDate.now() + offMs);
    else super(...given);
  }

  static override now(): number {
    return RightDate.now() + offMs;
  }
}

globalThis.Date = WrongDate as DateConstructor;
