/**
 * The table of faults: what can be broken, and how hard. Each ends by itself and leaves the stack whole; a fault without a
 * proof counts as planned, not as landed.
 */
import type { Fault } from './fault';
import { databaseFaults } from './database';
import { networkFaults } from './network';
import { forgedWebhooks } from './forgeries';
import { gatewayFaults } from './gateways';
import { mailFaults } from './mails';
import { processFaults } from './processes';
import { webhookFaults } from './webhooks';

/** All of them. */
export const faults: readonly Fault[] = [
  ...processFaults,
  ...databaseFaults,
  ...networkFaults,
  ...gatewayFaults(),
  ...webhookFaults(),
  forgedWebhooks(),
  ...mailFaults(),
];
