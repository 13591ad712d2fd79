/**
 * The table of faults: what can be broken, and how hard. Each ends by itself and leaves the stack whole; a fault without a
 * proof counts as planned, not as landed.
 */
import type { Fault } from './fault';
import { databaseFaults } from './faults-database';
import { networkFaults } from './faults-network';
import { gatewayFaults, mailFaults } from './faults-outside';
import { processFaults } from './faults-processes';

/** All of them. */
export const faults: readonly Fault[] = [
  ...processFaults,
  ...databaseFaults,
  ...networkFaults,
  ...gatewayFaults,
  ...mailFaults,
];
