/** The page on which an operator signs in to read payloads in the Temporal UI, and what it calls. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { makeAuthenticator } from './auth';
import type { Session, Sessions } from './codec-session';
import type { ApiDependencies } from './dependencies';
import { Problem } from './problem';
import { defineRoute, type Route } from './route';
import { instantShown } from './validation';

const tag = 'Operation';

const shown = z.object({ sub: z.string(), expiresAt: instantShown }).meta({ id: 'CodecSession' });

function show({ sub, expiresAt }: Session): z.infer<typeof shown> {
  return { sub, expiresAt: new Date(expiresAt * 1000).toISOString() };
}

/** Signing in and out, and the page for both. */
export function codecSignInRoutes({ config }: Pick<ApiDependencies, 'config'>, sessions: Sessions): Route[] {
  const authenticate = makeAuthenticator(config.auth);
  const page = defineRoute({
    method: 'get',
    path: '/codec/sign-in',
    tag,
    summary: 'The page on which operators sign in, to read payloads in the Temporal UI',
    scopes: [],
    answers: { 200: { description: 'A page for people', contentType: 'text/html', schema: z.string() } },
    problems: [],
    handle: async ({ request, response }) => {
      const session = await sessions.read(request);
      response
        .set('Content-Security-Policy', pagePolicy)
        .type('html')
        .send(pageFor(session, config.temporalUiOrigins[0]));
    },
  });
  const signIn = defineRoute({
    method: 'post',
    path: '/codec/sign-in',
    tag,
    summary: 'Sign in with an operator’s token',
    description:
      'From the page of the same path only. The cookie ends with the token, after 8 hours at most.',
    scopes: [],
    body: z.strictObject({ token: z.string().trim().min(1).max(16_384) }).meta({ id: 'CodecSignIn' }),
    answers: {
      200: {
        description: 'Signed in',
        schema: shown,
        headers: { 'Set-Cookie': 'HttpOnly, for `/codec` only.' },
      },
    },
    problems: ['invalid-request', 'payload-too-large', 'unauthenticated', 'forbidden', 'unavailable'],
    handle: async ({ request, response, body }) => {
      sessions.refuseOtherPages(request);
      const operator = await authenticate(`Bearer ${body.token}`);
      if (!operator.scopes.has('ops')) throw new Problem('forbidden', 'The token needs the scope ops.');
      response.json(show(await sessions.begin(response, operator)));
    },
  });
  const signOut = defineRoute({
    method: 'post',
    path: '/codec/sign-out',
    tag,
    summary: 'Sign out',
    scopes: [],
    answers: { 204: { description: 'The cookie is gone' } },
    problems: ['forbidden'],
    handle: ({ request, response }) => {
      sessions.refuseOtherPages(request);
      sessions.end(response);
      response.status(204).end();
    },
  });
  return [page, signIn, signOut];
}

const style = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 4rem auto; padding: 0 1rem; }
input { box-sizing: border-box; width: 100%; font: inherit; padding: .4rem; margin: .3rem 0 1rem; }
button { font: inherit; padding: .3rem 1rem; }
output { display: block; margin-top: 1rem; }
`;

/** A token behind the # of a link stays in the browser: it is in no request and no log, and is gone from the address. */
const script = `
const form = document.querySelector('form');
const said = document.querySelector('output');
const token = document.querySelector('#token');
if (token && location.hash.length > 1) {
  token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, '', location.pathname);
}
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const request = token
    ? { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token: token.value }) }
    : {};
  try {
    const answer = await fetch(form.dataset.path, { method: 'POST', ...request });
    if (answer.ok) location.reload();
    else said.textContent = (await answer.json()).detail;
  } catch {
    said.textContent = 'The service cannot be reached.';
  }
});
`;

const sourceOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** Nothing but the two texts above runs on the page, nothing is loaded, and nobody frames it. */
const pagePolicy = [
  "default-src 'none'",
  "connect-src 'self'",
  `script-src ${sourceOf(script)}`,
  `style-src ${sourceOf(style)}`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A subject may hold any printable text. */
function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function minuteOf(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ');
}

function pageFor(session: Session | undefined, uiOrigin: string | undefined): string {
  const back =
    uiOrigin === undefined ? '' : `<p><a href="${escapeHtml(uiOrigin)}">To the Temporal UI</a></p>`;
  const form =
    session === undefined
      ? `<form data-path="sign-in"><label for="token">A token with the scope <code>ops</code></label>
<input id="token" type="password" autocomplete="off" required><button>Sign in</button></form>`
      : `<p>You are signed in as ${escapeHtml(session.sub)} until ${minuteOf(show(session).expiresAt)} UTC.</p>
<form data-path="sign-out"><button>Sign out</button></form>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Payfirst: payloads in the Temporal UI</title>
<meta name="viewport" content="width=device-width"><style>${style}</style></head>
<body><h1>Payloads in the Temporal UI</h1>
<p>What workflows were given and have answered is sealed. Signed in here, you read it in the Temporal UI in this browser.</p>
${form}<output></output>${back}
<script>${script}</script></body></html>
`;
}
