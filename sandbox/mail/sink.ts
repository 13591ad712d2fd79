import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo } from 'node:net';
import { type MailControl } from './control';
import { Inbox } from './inbox';
import { startSmtp } from './smtp';
import { makeView } from './view';

export interface MailSinkOptions {
  /** SMTP; 0 (the default) takes a free port. */
  port?: number;
  /** HTTP view; 0 (the default) takes a free port. */
  httpPort?: number;
  /** Loopback unless told otherwise: nothing here asks for a password. */
  host?: string;
}

/** A running mail sink, with its switches. */
export interface MailSink extends MailControl {
  /** For example `smtp://127.0.0.1:2525`. */
  readonly smtpUrl: string;
  readonly port: number;
  readonly httpPort: number;
  close(): Promise<void>;
}

/** Starts an SMTP server that delivers nothing and shows everything. Rejects when a port is taken. */
export const startMailSink = async (options: MailSinkOptions = {}): Promise<MailSink> => {
  const host = options.host ?? '127.0.0.1';
  const inbox = new Inbox();
  const smtp = await startSmtp(inbox, options.port ?? 0, host);
  const server = http.createServer(makeView(inbox));
  server.listen(options.httpPort ?? 0, host);
  await once(server, 'listening');
  const httpPort = (server.address() as AddressInfo).port;
  return {
    smtpUrl: `smtp://${host}:${smtp.port}`,
    httpUrl: `http://${host}:${httpPort}`,
    port: smtp.port,
    httpPort,
    messages: async () => inbox.messages(),
    clearMessages: async () => inbox.clear(),
    fault: async (kind, times = 1) => inbox.addFault({ kind, times }),
    clearFaults: async () => inbox.clearFaults(),
    struck: async () => inbox.struck(),
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await Promise.all([closed, smtp.close()]);
    },
  };
};
