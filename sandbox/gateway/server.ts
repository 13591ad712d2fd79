import { once, setMaxListeners } from 'node:events';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { type GatewayControl } from './control';
import { type Deliveries, type DeliveryOptions } from './deliveries';
import { type Faults } from './faults';
import { type Gates } from './gates';
import { type RateLimit } from './rate-limit';

/** What every gateway's sandbox can be told when it starts. */
export interface SandboxOptions {
  /** 0 (the default) takes a free port. */
  port?: number;
  /** Loopback unless told otherwise: the switches ask for no password. */
  host?: string;
  /** Where webhooks go. Absent: nowhere yet; events still being repeated when an address is set reach it. */
  webhookUrl?: string | undefined;
  /** From the answer of an API call to the sending of its events; 5 ms. */
  webhookDelayMs?: number;
  /** Gaps before each repeat of a delivery, the last one for all that follow; a gateway's hours squeezed to seconds. */
  webhookRetryGapsMs?: readonly number[];
  /** How often a delivery is repeated; 40. */
  webhookRetriesMax?: number;
}

/** How webhooks are delivered, as told or by default. */
export const deliveryOptions = (options: SandboxOptions): DeliveryOptions => ({
  url: options.webhookUrl === '' ? undefined : options.webhookUrl,
  delayMs: options.webhookDelayMs ?? 5,
  retryGapsMs: options.webhookRetryGapsMs ?? [200, 500, 1000, 2000, 3000],
  retriesMax: options.webhookRetriesMax ?? 40,
});

/** Ends every wait of one sandbox. */
export const makeEnd = (): AbortController => {
  const end = new AbortController();
  // Each waiting delivery and delay listens to the one end.
  setMaxListeners(0, end.signal);
  return end;
};

/** A server that listens but answers nothing yet: what answers may want to know its address. */
export interface Listening {
  server: http.Server;
  port: number;
  /** Its origin. */
  url: string;
}

/** Rejects when the port is taken. */
export const listen = async ({ port, host = '127.0.0.1' }: SandboxOptions): Promise<Listening> => {
  const server = http.createServer();
  server.listen(port ?? 0, host);
  await once(server, 'listening');
  const taken = (server.address() as AddressInfo).port;
  return { server, port: taken, url: `http://${host.includes(':') ? `[${host}]` : host}:${taken}` };
};

/** Ends every connection and every wait. */
export const close = async (server: http.Server, end: AbortController): Promise<void> => {
  end.abort();
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
};

/** The switches that ask nothing of the account behind them. */
export type PlainControl = Pick<
  GatewayControl<never, never, never, never, never>,
  | 'gateState'
  | 'waitForGate'
  | 'releaseGate'
  | 'rateLimit'
  | 'resend'
  | 'setWebhookUrl'
  | 'setKeepAliveDown'
  | 'clearFaults'
>;

/** Makes them for one sandbox. */
export const plainControl = (parts: {
  faults: Faults;
  gates: Gates;
  rate: RateLimit;
  webhooks: Pick<Deliveries<never>, 'resend' | 'setUrl' | 'releaseHeld'>;
  refundModes: { clear(): void };
  /** Destroys the connection of every request under way. */
  disconnect: () => void;
}): PlainControl => {
  const { faults, gates, rate, webhooks, refundModes, disconnect } = parts;
  return {
    gateState: async (name) => gates.state(name),
    waitForGate: (name, count, timeoutMs = 10_000) => gates.wait(name, count, timeoutMs),
    releaseGate: async (name) => gates.release(name),
    rateLimit: async (perSecond) => rate.set(perSecond),
    resend: async (id, times) => webhooks.resend(id, times),
    setWebhookUrl: async (url) => webhooks.setUrl(url),
    setKeepAliveDown: async (down) => {
      faults.down = down;
      if (down) disconnect();
    },
    clearFaults: async () => {
      faults.clear();
      refundModes.clear();
      rate.set(null);
      webhooks.releaseHeld();
      gates.releaseAll();
    },
  };
};
