/**
 * Which addresses the courier may post to. An endpoint's address is somebody else's word: followed blindly it would let
 * them ask our own network, or a cloud's metadata service, through us (server-side request forgery).
 */
import { lookup as dnsLookup } from 'node:dns/promises';
import type { LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/** Finds a host's addresses. */
export type LookUp = (host: string) => Promise<LookupAddress[]>;

/** What may be posted to, and how hosts are found. */
export interface AddressRules {
  /** Plain http, loopback and private networks too: development, or a closed network. */
  allowPrivate: boolean;
  lookUp: LookUp;
}

/** Asks as every other connection of the process does. */
export const lookUp: LookUp = (host) => dnsLookup(host, { all: true, verbatim: true });

/** Networks that are not the public internet. Source: IANA's special-purpose address registries, "globally reachable: false". */
const notPublic = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  // Multicast, then what is reserved, broadcast included.
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  // Azure's platform service: public by its number, and answers inside that cloud only (learn.microsoft.com, "What is IP address 168.63.129.16?").
  ['168.63.129.16', 32],
] as const) {
  notPublic.addSubnet(network, prefix, 'ipv4');
}
for (const [network, prefix] of [
  // Protocol assignments, Teredo among them, which carries IPv4 addresses; documentation; 6to4, which carries them, too.
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const) {
  notPublic.addSubnet(network, prefix, 'ipv6');
}

/** The only part of IPv6 that is public (RFC 4291, 2.4). Mapped, translated, local and multicast addresses lie outside it. */
const globalUnicast = new BlockList();
globalUnicast.addSubnet('2000::', 3, 'ipv6');

/** Whether an address, as DNS gives it, is one of the public internet. */
export function isPublic(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !notPublic.check(address, 'ipv4');
    case 6:
      return globalUnicast.check(address, 'ipv6') && !notPublic.check(address, 'ipv6');
    default:
      return false;
  }
}

/** What is wrong with an endpoint's address as it is written; undefined when nothing is. Its host is not asked for. */
export function faultOfUrl(text: string, allowPrivate: boolean): string | undefined {
  if (!URL.canParse(text)) return 'Not an address.';
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(allowPrivate && url.protocol === 'http:')) return 'Must be https.';
  if (url.username !== '' || url.password !== '')
    return 'May carry no credentials: the signature says who calls.';
  if (url.hash !== '') return 'May have no fragment: it is never sent.';
  // Sockets connect to a literal without asking anybody, and certificates are for names.
  if (!allowPrivate && isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0)
    return 'Must name a host, not an IP address.';
  return undefined;
}

/** Thrown for a host that has an address inside. */
class PrivateAddressError extends Error {
  readonly code = 'private-address';
}

/** The code of an error: a system's, such as ENOTFOUND, or `private-address`. */
export function codeOf(error: unknown): string | undefined {
  const code: unknown =
    typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/**
 * The addresses of a host. One that is not public among them spoils all: which of them is connected to is not ours to say.
 * @throws PrivateAddressError, or what the look-up throws
 */
export async function addressesOf(host: string, rules: AddressRules): Promise<LookupAddress[]> {
  const found = await rules.lookUp(host);
  if (found.length === 0) throw Object.assign(new Error('No address'), { code: 'ENOTFOUND' });
  if (!rules.allowPrivate && !found.every(({ address }) => isPublic(address))) {
    throw new PrivateAddressError('The host has an address that is not public');
  }
  return found;
}

/**
 * For sockets: looks up and checks in one step, so that the address connected to is the one that was checked, whatever DNS
 * said before or says next.
 */
export function checkedLookup(rules: AddressRules): LookupFunction {
  return (host, options, answer) => {
    addressesOf(host, rules).then(
      (found) => {
        const [first] = found;
        if (options.all === true || first === undefined) answer(null, found);
        else answer(null, first.address, first.family);
      },
      (error: unknown) => answer(error as NodeJS.ErrnoException, []),
    );
  };
}
