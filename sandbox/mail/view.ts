import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import { z } from 'zod';
import { type Inbox, type Message } from './inbox';

const faultSchema = z.strictObject({
  kind: z.enum(['refuse', 'busy', 'lost-after-accept']),
  times: z.number().int().positive().nullable().default(1),
});

const escaped = (value: string): string => value.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const article = (message: Message): string => `<article>
<h2>${escaped(message.subject)}</h2>
<p>${escaped(message.receivedAt)} from ${escaped(message.from)} to ${escaped(message.to.join(', '))}</p>
<pre>${escaped(message.text)}</pre>
</article>`;

const page = (messages: Message[]): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mail sandbox</title>
<style>body{font:14px system-ui;margin:2em}article{border-top:1px solid #ccc}pre{white-space:pre-wrap}</style>
</head><body><h1>Mail sandbox (${messages.length})</h1>
${messages.map(article).join('\n')}
</body></html>`;

/** The HTTP view of an inbox: `GET /`, `GET` and `DELETE /messages`, `GET` (what struck), `POST` and `DELETE /_sandbox/faults`. */
export const makeView = (inbox: Inbox): Express => {
  const app = express();
  app.disable('x-powered-by');
  app.use(express.json());
  app.get('/', (_request, response) => {
    response.type('html').send(page(inbox.messages()));
  });
  app.get('/messages', (_request, response) => {
    response.json(inbox.messages());
  });
  app.delete('/messages', (_request, response) => {
    inbox.clear();
    response.json({});
  });
  app.get('/_sandbox/faults', (_request, response) => {
    response.json(inbox.struck());
  });
  app.post('/_sandbox/faults', (request, response) => {
    inbox.addFault(faultSchema.parse(request.body));
    response.json({});
  });
  app.delete('/_sandbox/faults', (_request, response) => {
    inbox.clearFaults();
    response.json({});
  });
  // Express knows an error handler by its four parameters.
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => {
    response.status(400).json({ error: { message: error instanceof Error ? error.message : String(error) } });
  });
  return app;
};
