/**
 * The table of faults: what can be broken, and how hard. Each ends by itself and leaves the stack whole; a fault without a
 * proof counts as planned, not as landed.
 */
import type { Fault } from './fault';
import { databaseFaults } from './database';
import { networkFaults } from './network';
import { gatewayFaults, mailFaults } from './outside';
import { processFaults } from './processes';

/** All of them. */
export const faults: readonly Fault[] = [
  ...processFaults,
  ...databaseFaults,
  ...networkFaults,
  ...gatewayFaults,
  ...mailFaults,
];
