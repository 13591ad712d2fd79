/** Which gateways are offered: those whose keys are set. */
import { configuredGateways } from '../src/gateways/configured';

const stripe = {
  secretKey: 'sk_test_x',
  publishableKey: undefined,
  webhookSecrets: ['whsec_x'],
  apiBase: undefined,
};
const razorpay = {
  keyId: 'rzp_test_x',
  keySecret: 'x',
  webhookSecrets: ['x'],
  apiBase: 'https://api.razorpay.com',
};
const phonepe = {
  clientId: 'x',
  clientVersion: '1',
  clientSecret: 'x',
  webhookLogins: [{ username: 'hooks', password: 'password1' }],
  apiBase: 'https://api.phonepe.com/apis',
};

test.each([
  [{ stripe, razorpay, phonepe }, ['stripe', 'razorpay', 'phonepe']],
  [{ stripe: undefined, razorpay, phonepe: undefined }, ['razorpay']],
  [{ stripe: undefined, razorpay: undefined, phonepe }, ['phonepe']],
  [{ stripe: undefined, razorpay: undefined, phonepe: undefined }, []],
])('A gateway is offered by its name when its keys are there, %#', (config, names) => {
  const gateways = configuredGateways(config);
  expect([...gateways.keys()]).toEqual(names);
  expect([...gateways.values()].map(({ name }) => name)).toEqual(names);
});

test('What a gateway says it can is there, and what it cannot is not', () => {
  for (const { capabilities, ...gateway } of configuredGateways({ stripe, razorpay, phonepe }).values()) {
    expect('list' in gateway).toBe(capabilities.lists);
    expect(capabilities.lateForSeconds === 0).toBe(capabilities.closes);
    const { lookSchedule } = capabilities;
    expect(lookSchedule).toEqual([...new Set(lookSchedule)].toSorted((one, other) => one - other));
  }
});
