/** The mail sink: what a mailbox would show of what it was sent. */
import nodemailer, { type Transporter } from 'nodemailer';
import { connectMailSink } from '../sandbox/mail/control';
import { type MailSink, startMailSink } from '../sandbox/mail/sink';

let sink: MailSink;
let transport: Transporter;

const mail = (subject = 'Booked') => ({
  from: 'Payfirst <shop@example.test>',
  to: 'payer@example.test',
  subject,
  text: 'Your seat is yours: <b>7</b>',
  messageId: '<booking-1.confirmed@payfirst.test>',
});

beforeEach(async () => {
  sink = await startMailSink();
  transport = nodemailer.createTransport(sink.smtpUrl);
});

afterEach(async () => {
  transport.close();
  await sink.close();
});

test('A sent mail is listed with its own Message-ID', async () => {
  await transport.sendMail(mail());
  expect(await sink.messages()).toEqual([
    {
      messageId: '<booking-1.confirmed@payfirst.test>',
      from: 'shop@example.test',
      to: ['payer@example.test'],
      subject: 'Booked',
      text: expect.stringContaining('<b>7</b>'),
      receivedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    },
  ]);
});

test('The HTTP view lists the newest mail first, escapes it and can be emptied', async () => {
  const remote = connectMailSink(sink.httpUrl);
  await transport.sendMail(mail('first'));
  await transport.sendMail(mail('<second>'));
  expect((await remote.messages()).map((message) => message.subject)).toEqual(['<second>', 'first']);
  const page = await (await fetch(sink.httpUrl)).text();
  expect(page).toContain('&#60;second&#62;');
  expect(page).not.toContain('<second>');
  await remote.clearMessages();
  expect(await remote.messages()).toEqual([]);
});

test('A refused mail is answered 550 and not kept, and the next one is taken', async () => {
  await connectMailSink(sink.httpUrl).fault('refuse');
  await expect(transport.sendMail(mail())).rejects.toMatchObject({ responseCode: 550 });
  expect(await sink.messages()).toEqual([]);
  await transport.sendMail(mail());
  expect(await sink.messages()).toHaveLength(1);
});

test('A busy server answers 451 as often as told', async () => {
  await sink.fault('busy', 2);
  await expect(transport.sendMail(mail())).rejects.toMatchObject({ responseCode: 451 });
  await expect(transport.sendMail(mail())).rejects.toMatchObject({ responseCode: 451 });
  await transport.sendMail(mail());
  expect((await connectMailSink(sink.httpUrl).struck()).busy).toBe(2);
  expect(await sink.messages()).toHaveLength(1);
});

test('A mail whose acceptance is lost is kept although the sender saw an error', async () => {
  await sink.fault('lost-after-accept');
  await expect(transport.sendMail(mail())).rejects.toThrow();
  expect(await sink.messages()).toHaveLength(1);
});

test('A fault until cleared ends when it is cleared', async () => {
  await sink.fault('refuse', null);
  for (let turn = 0; turn < 3; turn++)
    await expect(transport.sendMail(mail())).rejects.toMatchObject({ responseCode: 550 });
  await connectMailSink(sink.httpUrl).clearFaults();
  await transport.sendMail(mail());
  expect(await sink.messages()).toHaveLength(1);
});

test('A fault of an unknown kind is refused by the HTTP control', async () => {
  const answer = await fetch(`${sink.httpUrl}/_sandbox/faults`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '{"kind":"gremlin"}',
  });
  expect(answer.status).toBe(400);
});
