/**
 * Puts the development server's web UI and the API's codec endpoint under one origin. The UI would have to be told to send
 * cookies to another origin, and `temporal server start-dev` has no flag for that (CLI 1.8.2 sets the endpoint only); to
 * its own origin a browser sends them anyway. In production the UI's `TEMPORAL_CODEC_INCLUDE_CREDENTIALS` tells it.
 */
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';

import { LOOPBACK } from './ports';

/** What is put together, and where. */
export interface TemporalUiOptions {
  /** Port of the loopback address under which both are found. */
  port: number;
  /** Port of the UI itself. */
  uiPort: number;
  apiPort: number;
}

/** Passes one request on, and its answer back. */
function pass(asked: IncomingMessage, answer: ServerResponse, port: number): void {
  const { method, headers, url: path } = asked;
  const onward = request({ host: LOOPBACK, port, method, path, headers }, (got) => {
    answer.writeHead(got.statusCode ?? 502, got.headers);
    // Either side may go away at any time; the other is then let go as well.
    pipeline(got, answer, () => undefined);
  });
  onward.on('error', () => {
    if (!answer.headersSent) answer.writeHead(502, { 'Content-Type': 'text/plain' });
    answer.end('Not up at the moment.\n');
  });
  answer.on('close', () => onward.destroy());
  asked.pipe(onward);
}

/**
 * Serves `/codec/…` from the API and everything else from the UI, whether or not they are up.
 * @throws Error when the port is taken
 */
export async function serveTemporalUi(
  options: TemporalUiOptions,
): Promise<{ url: string; stop: () => Promise<void> }> {
  const server: Server = createServer((asked, answer) =>
    pass(asked, answer, asked.url?.startsWith('/codec/') ? options.apiPort : options.uiPort),
  );
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, LOOPBACK, resolve);
  });
  return {
    url: `http://${LOOPBACK}:${options.port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
