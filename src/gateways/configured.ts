/** The gateways whose keys are set. A gateway without its keys is simply not offered. */
import type { Config } from '../config';
import type { Gateway } from './gateway';
import { phonepeGateway } from './phonepe';
import { razorpayGateway } from './razorpay';
import { stripeGateway } from './stripe';

/** Makes every configured gateway, by name. */
export function configuredGateways(
  config: Pick<Config, 'stripe' | 'razorpay' | 'phonepe'>,
): ReadonlyMap<string, Gateway> {
  const gateways = [
    ...(config.stripe === undefined ? [] : [stripeGateway(config.stripe)]),
    ...(config.razorpay === undefined ? [] : [razorpayGateway(config.razorpay)]),
    ...(config.phonepe === undefined ? [] : [phonepeGateway(config.phonepe)]),
  ];
  return new Map(gateways.map((gateway) => [gateway.name, gateway]));
}
