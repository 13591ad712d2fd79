/** Settings of the gateways that are half there, or not quite as they are written. */
import { readConfig } from '../src/config';

const base = {
  DATABASE_URL: 'postgres://localhost/payfirst',
  AUTH_JWT_SECRET: 'a secret for tests only, long enough for HS256',
  APP_SECRET: 'an application secret for tests only',
};
const razorpay = {
  RAZORPAY_KEY_ID: 'rzp_test_x',
  RAZORPAY_KEY_SECRET: 'key-secret',
  RAZORPAY_WEBHOOK_SECRET: 'old-secret, new-secret',
};
const phonepe = {
  PHONEPE_CLIENT_ID: 'client',
  PHONEPE_CLIENT_SECRET: 'client-secret',
  PHONEPE_WEBHOOK_USERNAME: 'first_user,second_user',
  PHONEPE_WEBHOOK_PASSWORD: 'password1,password2',
};
const read = (given: Record<string, string>) => readConfig({ ...base, ...given });

test('Several secrets are in force during a rotation, each login with its own password', () => {
  const config = read({ ...razorpay, ...phonepe });
  expect(config.razorpay?.webhookSecrets).toEqual(['old-secret', 'new-secret']);
  expect(config.phonepe?.webhookLogins).toEqual([
    { username: 'first_user', password: 'password1' },
    { username: 'second_user', password: 'password2' },
  ]);
});

test.each([
  ...Object.keys(razorpay).map((name) => [name, '', razorpay] as const),
  ...Object.keys(phonepe).map((name) => [name, '', phonepe] as const),
  ['RAZORPAY_WEBHOOK_SECRET', ' , ', razorpay] as const,
  ['PHONEPE_WEBHOOK_PASSWORD', ',', phonepe] as const,
])('A gateway without %s (%j) does not start, and no value is told', (name, text, all) => {
  let told = '';
  try {
    read({ ...all, [name]: text });
  } catch (error) {
    told = String(error);
  }
  expect(told).toContain(`${name}: needed beside`);
  for (const value of Object.values(all)) expect(told).not.toContain(value);
});

test('Commas alone are no logins, on both sides neither', () => {
  expect(() => read({ ...phonepe, PHONEPE_WEBHOOK_USERNAME: ',', PHONEPE_WEBHOOK_PASSWORD: ',' })).toThrow(
    'PHONEPE_WEBHOOK_USERNAME: needed beside',
  );
  expect(() => read({ STRIPE_SECRET_KEY: 'sk_test_x', STRIPE_WEBHOOK_SECRET: ',' })).toThrow(
    'STRIPE_WEBHOOK_SECRET: needed beside',
  );
});

test('Of several usernames and passwords there are as many', () => {
  expect(() => read({ ...phonepe, PHONEPE_WEBHOOK_PASSWORD: 'password1' })).toThrow('as many');
});

test.each([
  ['https://pay.example/apis', 'https://pay.example/apis'],
  ['https://pay.example/apis/', 'https://pay.example/apis'],
  ['https://pay.example/apis//', 'https://pay.example/apis'],
  ['https://pay.example/apis/pg-sandbox/', 'https://pay.example/apis/pg-sandbox'],
])('An address of %s has no slash at its end', (given, apiBase) => {
  expect(read({ ...phonepe, PHONEPE_API_BASE: given }).phonepe?.apiBase).toBe(apiBase);
  expect(read({ ...razorpay, RAZORPAY_API_BASE: given }).razorpay?.apiBase).toBe(apiBase);
});
