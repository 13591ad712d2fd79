/** Which addresses may be posted to: what is public passes, and every way of writing something inside is refused. */
import { addressesOf, checkedLookup, faultOfUrl, isPublic, type AddressRules } from '../src/public-address';

test.each([
  ['8.8.8.8', true],
  ['93.184.216.34', true],
  ['172.15.255.255', true],
  ['172.32.0.1', true],
  ['100.63.255.255', true],
  ['2606:4700:4700::1111', true],
  ['2a00:1450:4001:82f::200e', true],
  // Private, loopback, link-local (cloud metadata), carrier-grade NAT, this network.
  ['10.0.0.1', false],
  ['172.16.0.1', false],
  ['172.31.255.255', false],
  ['192.168.1.1', false],
  ['127.0.0.1', false],
  ['127.255.255.254', false],
  ['169.254.169.254', false],
  ['100.64.0.1', false],
  ['100.100.100.200', false],
  ['0.0.0.0', false],
  // Benchmarks, documentation, protocol assignments, multicast, reserved, broadcast, Azure's own.
  ['198.18.0.1', false],
  ['192.0.0.192', false],
  ['203.0.113.5', false],
  ['224.0.0.1', false],
  ['240.0.0.1', false],
  ['255.255.255.255', false],
  ['168.63.129.16', false],
  // IPv6: unspecified, loopback, mapped, compatible, translated, 6to4, Teredo, unique local, link-local, site-local, multicast.
  ['::', false],
  ['::1', false],
  ['::ffff:127.0.0.1', false],
  ['::ffff:7f00:1', false],
  ['::ffff:8.8.8.8', false],
  ['::127.0.0.1', false],
  ['64:ff9b::7f00:1', false],
  ['64:ff9b:1::a00:1', false],
  ['2002:7f00:1::', false],
  ['2001:0:53aa:64c::1', false],
  ['fd00:ec2::254', false],
  ['fc00::1', false],
  ['fe80::1', false],
  ['fe80::1%eth0', false],
  ['fec0::1', false],
  ['ff02::1', false],
  ['2001:db8::1', false],
  ['3fff::1', false],
  ['100::1', false],
  ['localhost', false],
  ['', false],
])('%s: public is %s', (address, expected) => {
  expect(isPublic(address)).toBe(expected);
});

test.each([
  ['https://shop.example/hooks?shop=1', undefined, undefined],
  ['https://shop.example:8443/hooks', undefined, undefined],
  ['http://shop.example/hooks', 'Must be https.', undefined],
  ['ftp://shop.example/hooks', 'Must be https.', 'Must be https.'],
  ['file:///etc/passwd', 'Must be https.', 'Must be https.'],
  ['https://user:word@shop.example/', 'no credentials', 'no credentials'],
  ['https://user@shop.example/', 'no credentials', 'no credentials'],
  ['https://shop.example/#hooks', 'no fragment', 'no fragment'],
  ['https://127.0.0.1/', 'not an IP address', undefined],
  ['https://127.1/', 'not an IP address', undefined],
  ['https://0x7f000001/', 'not an IP address', undefined],
  ['https://2130706433/', 'not an IP address', undefined],
  ['https://017700000001/', 'not an IP address', undefined],
  ['https://①②⑦.0.0.1/', 'not an IP address', undefined],
  ['https://[::1]/', 'not an IP address', undefined],
  ['https://[::ffff:127.0.0.1]/', 'not an IP address', undefined],
  ['https://8.8.8.8/', 'not an IP address', undefined],
  ['shop.example/hooks', 'Not an address', 'Not an address'],
  ['https://', 'Not an address', 'Not an address'],
])('%s is refused: %s; where private ones are allowed: %s', (url, fault, faultInside) => {
  const expected = (text: string | undefined) =>
    text === undefined ? undefined : expect.stringContaining(text);
  expect(faultOfUrl(url, false)).toEqual(expected(fault));
  expect(faultOfUrl(url, true)).toEqual(expected(faultInside));
});

const rules = (allowPrivate: boolean, ...addresses: string[]): AddressRules => ({
  allowPrivate,
  lookUp: () =>
    Promise.resolve(addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))),
});

test('one address inside spoils a host, for who connects may choose it', async () => {
  await expect(addressesOf('a.example', rules(false, '8.8.8.8', '10.0.0.1'))).rejects.toMatchObject({
    code: 'private-address',
  });
  await expect(addressesOf('a.example', rules(false, '8.8.8.8', '::1'))).rejects.toThrow();
  await expect(addressesOf('a.example', rules(false))).rejects.toMatchObject({ code: 'ENOTFOUND' });
  expect(await addressesOf('a.example', rules(false, '8.8.8.8', '2606:4700::1'))).toHaveLength(2);
  expect(await addressesOf('a.example', rules(true, '10.0.0.1'))).toHaveLength(1);
});

test('sockets are given what was checked, one address or all', async () => {
  const look = (given: AddressRules, all: boolean) =>
    new Promise((resolve, reject) => {
      checkedLookup(given)('a.example', { all }, (error, address, family) =>
        error === null ? resolve([address, family]) : reject(error),
      );
    });
  const both = rules(false, '8.8.8.8', '2606:4700::1');
  expect(await look(both, false)).toEqual(['8.8.8.8', 4]);
  expect(await look(both, true)).toEqual([
    [
      { address: '8.8.8.8', family: 4 },
      { address: '2606:4700::1', family: 6 },
    ],
    undefined,
  ]);
  await expect(look(rules(false, '127.0.0.1'), true)).rejects.toMatchObject({ code: 'private-address' });
});
