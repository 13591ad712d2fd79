import { once } from 'node:events';
import { type AddressInfo, type Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { simpleParser } from 'mailparser';
import { SMTPServer, type SMTPServerDataStream, type SMTPServerSession } from 'smtp-server';
import { type Inbox } from './inbox';

/** A listening SMTP sink. */
export interface SmtpSink {
  port: number;
  close(): Promise<void>;
}

const refusal = (code: 451 | 550, text: string): Error =>
  Object.assign(new Error(text), { responseCode: code });

const receive = async (
  inbox: Inbox,
  stream: SMTPServerDataStream,
  session: SMTPServerSession,
  drop: () => void,
): Promise<void> => {
  const raw = await buffer(stream);
  const fault = inbox.takeFault();
  if (fault === 'refuse') throw refusal(550, 'Mailbox unavailable');
  if (fault === 'busy') throw refusal(451, 'Try again later');
  const mail = await simpleParser(raw);
  const { mailFrom, rcptTo } = session.envelope;
  inbox.keep({
    messageId: mail.messageId ?? null,
    from: mailFrom === false ? '' : mailFrom.address,
    to: rcptTo.map(({ address }) => address),
    subject: mail.subject ?? '',
    text: mail.text ?? '',
    receivedAt: new Date().toISOString(),
  });
  if (fault === 'lost-after-accept') drop();
};

/** Starts an SMTP server that takes every mail, without login and without TLS. Rejects when the port is taken. */
export const startSmtp = async (inbox: Inbox, port: number, host: string): Promise<SmtpSink> => {
  const sockets = new Map<number, Socket>();
  const smtp = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    onData: (stream, session, callback) => {
      const drop = (): void => void sockets.get(session.remotePort)?.destroy();
      receive(inbox, stream, session, drop).then(
        () => callback(),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
  // A client that leaves in the middle is its own business, not a reason for this process to end.
  smtp.on('error', (error) => console.error(`smtp: ${error.message}`));
  smtp.server.on('connection', (socket: Socket) => {
    const { remotePort } = socket;
    if (remotePort === undefined) return;
    sockets.set(remotePort, socket);
    socket.once('close', () => sockets.delete(remotePort));
  });
  smtp.listen(port, host);
  await once(smtp.server, 'listening');
  return {
    port: (smtp.server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => smtp.close(() => resolve()));
      for (const socket of sockets.values()) socket.destroy();
      await closed;
    },
  };
};
