/** The vocabulary: ids, references and the arrows between statuses. */
import { createHash } from 'node:crypto';
import { attemptStatuses, isId, isOpen, legalTransitions, makeId, makeReference } from '../src/booking';

const hashOf = (text: string): Buffer => createHash('sha256').update(text).digest();

const prefixes = {
  offering: 'off_',
  booking: 'bkg_',
  payment: 'pay_',
  refund: 'ref_',
  case: 'cas_',
} as const;
const kinds = Object.keys(prefixes) as (keyof typeof prefixes)[];

describe('ids', () => {
  test.each(kinds)('a %s has its prefix and 24 characters that nobody misreads', (kind) => {
    for (let n = 0; n < 200; n += 1) {
      const id = makeId(kind, hashOf(String(n)));
      expect(id).toMatch(new RegExp(`^${prefixes[kind]}[0-9a-hjkmnp-tv-z]{24}$`));
      expect(isId(kind, id)).toBe(true);
    }
  });

  test('the same bytes are the same id, other bytes another', () => {
    expect(makeId('booking', hashOf('a'))).toBe(makeId('booking', hashOf('a')));
    expect(makeId('booking', hashOf('a'))).not.toBe(makeId('booking', hashOf('b')));
  });

  test('each of the first 120 bits counts, and no later one', () => {
    const whole = new Uint8Array(32);
    const id = makeId('booking', whole);
    for (let bit = 0; bit < 256; bit += 1) {
      const changed = new Uint8Array(whole);
      changed[bit >> 3] = 0x80 >> (bit & 7);
      expect(makeId('booking', changed) !== id).toBe(bit < 120);
    }
  });

  test('fewer than 15 bytes make none', () => {
    expect(makeId('booking', new Uint8Array(15))).toBe(`bkg_${'0'.repeat(24)}`);
    expect(() => makeId('booking', new Uint8Array(14))).toThrow('24 characters need 15 bytes');
  });

  test.each([
    '',
    'bkg_',
    'bkg_0123456789abcdefghjkmnp',
    'bkg_0123456789abcdefghjkmnpqr',
    'bkg_0123456789abcdefghjkmnpI',
    'bkg_0123456789abcdefghjkmnpl',
    'bkg_0123456789abcdefghjkmnpo',
    'bkg_0123456789abcdefghjkmnpu',
    'bkg_0123456789ABCDEFGHJKMNPQ',
    'off_0123456789abcdefghjkmnpq',
    ' bkg_0123456789abcdefghjkmnpq',
    'bkg_0123456789abcdefghjkmnpq\n',
    "bkg_0123456789abcdefghjkmn';",
  ])('%j is no id of a booking', (text) => {
    expect(isId('booking', text)).toBe(false);
  });
});

describe('references', () => {
  test('are BK- and ten characters of Crockford’s alphabet', () => {
    const seen = new Set<string>();
    for (let n = 0; n < 500; n += 1) {
      const reference = makeReference(hashOf(String(n)));
      expect(reference).toMatch(/^BK-[0-9A-HJKMNP-TV-Z]{10}$/);
      for (const character of reference.slice(3)) seen.add(character);
    }
    expect([...seen].sort().join('')).toBe('0123456789ABCDEFGHJKMNPQRSTVWXYZ');
  });

  test('spell five bits a character, highest first', () => {
    // 00001 00010 00011 00100 00101 00110 00111 01000 01001 01010, and six bits that do not count.
    const bits = '00001000100001100100001010011000111010000100101010' + '111111';
    const bytes = Uint8Array.from(bits.match(/.{8}/g) ?? [], (byte) => parseInt(byte, 2));
    expect(makeReference(bytes)).toBe('BK-123456789A');
  });

  test('are the same for the same bytes, and need seven', () => {
    expect(makeReference(hashOf('a'))).toBe(makeReference(hashOf('a')));
    expect(makeReference(hashOf('a'))).not.toBe(makeReference(hashOf('b')));
    expect(() => makeReference(new Uint8Array(6))).toThrow('7 bytes');
  });
});

describe('statuses', () => {
  test('every status is reached from the start, and none leads outside the vocabulary', () => {
    const reached = new Set(['awaiting_payment']);
    const queue = ['awaiting_payment'] as (keyof typeof legalTransitions)[];
    for (let status = queue.pop(); status !== undefined; status = queue.pop()) {
      for (const next of legalTransitions[status]) {
        expect(attemptStatuses).toContain(next);
        if (!reached.has(next)) queue.push(next);
        reached.add(next);
      }
    }
    expect([...reached].sort()).toEqual([...attemptStatuses].sort());
  });

  test('an attempt is open while it waits for money, and nothing that was decided opens it again', () => {
    const open = attemptStatuses.filter(isOpen);
    expect(open).toEqual(['awaiting_payment', 'processing']);
    for (const status of attemptStatuses.filter((each) => !isOpen(each))) {
      expect(legalTransitions[status].filter(isOpen)).toEqual([]);
    }
  });

  test.each(['expired', 'canceled', 'failed'] as const)('%s is final', (status) => {
    expect(legalTransitions[status]).toEqual([]);
  });
});
