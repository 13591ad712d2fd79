/** Puts the HTTP API together. */
import cors from 'cors';
import express, { type Express, type Request, type RequestHandler } from 'express';
import helmet from 'helmet';
import swaggerUi from 'swagger-ui-express';
import { analyticsRoutes } from './analytics';
import { identify } from './auth';
import { bookingRoutes } from './bookings';
import { cartRoutes } from './carts';
import { caseRoutes } from './cases';
import { codecRoutes } from './codec';
import { makeSessions } from './codec-session';
import { codecSignInRoutes } from './codec-sign-in';
import { openNotices } from '../notices';
import type { ApiDependencies } from './dependencies';
import { describeRoutes, documentRoutes } from './document';
import { healthRoutes } from './health';
import { liveRoutes, openLive } from './live';
import { offeringRoutes } from './offerings';
import { nothingHere, renderProblems } from './problem';
import { paymentRoutes } from './payments';
import { problemPageRoutes } from './problem-pages';
import { providerBookingRoutes } from './provider-bookings';
import { providerRoutes } from './providers';
import { makeRates } from './rates';
import { logRequests, nameRequest } from './request-log';
import { mount, type Route } from './route';
import { walletRoutes } from './wallets';
import { webhookDeliveryRoutes } from './webhook-deliveries';
import { webhookEndpointRoutes } from './webhook-endpoints';
import { webhookRoutes } from './webhooks';

export type { ApiDependencies } from './dependencies';

/** How long a browser may remember the answer to a preflight, in seconds. */
const preflightSeconds = 600;

/** Makes the Express application; nothing listens yet. */
export function createApp(deps: ApiDependencies): Express {
  const { config, log } = deps;
  const rates = makeRates(config.rates);
  const probes = healthRoutes(deps);
  const webhooks = webhookRoutes(deps, rates);
  const sessions = makeSessions(config);
  const live = openLive(deps);
  const routes: Route[] = [
    ...providerRoutes(deps),
    ...offeringRoutes(deps, openNotices(deps.db, log)),
    ...providerBookingRoutes(deps),
    ...cartRoutes(deps),
    ...bookingRoutes(deps, rates, live),
    ...liveRoutes(deps, live),
    ...walletRoutes(deps),
    ...caseRoutes(deps),
    ...webhookEndpointRoutes(deps),
    ...webhookDeliveryRoutes(deps),
    ...codecRoutes(deps),
    ...codecSignInRoutes(deps, sessions),
    ...paymentRoutes(deps),
    ...analyticsRoutes(deps),
    ...problemPageRoutes(),
    ...documentRoutes(() => document),
  ];
  const document = describeRoutes([...routes, ...webhooks, ...probes], config.http.publicUrl);

  const app = express();
  app.disable('x-powered-by');
  // Bookings change by themselves and are private; revalidation by ETag would also look like `?wait`'s 304.
  app.disable('etag');
  app.set('trust proxy', config.http.trustProxy);
  app.use(
    nameRequest,
    logRequests(log),
    protect(config.http.publicUrl),
    allowOrigins(config.http.webOrigins, config.temporalUiOrigins),
  );
  mount(app, probes);
  mount(app, webhooks);
  app.use(identify(config.auth));
  // Before the limit of unknown callers: one page of the Temporal UI asks dozens of times.
  app.use('/codec', sessions.identify);
  app.use(rates.anonymous);
  app.use(['/v1', '/codec'], neverStore);
  mount(app, routes);
  app.use('/docs', swaggerUi.serveFiles(undefined, docsOptions), swaggerUi.setup(undefined, docsOptions));
  app.use(nothingHere);
  app.use(renderProblems(log));
  return app;
}

/** The page loads our own document and nothing from elsewhere. */
const docsOptions = { swaggerUrl: '/openapi.json', customSiteTitle: 'Payfirst API' };

function protect(publicUrl: string): RequestHandler {
  // Over plain http a browser told to upgrade would not find the page's own files.
  const upgrade = publicUrl.startsWith('https:') ? [] : null;
  return helmet({ contentSecurityPolicy: { directives: { upgradeInsecureRequests: upgrade } } });
}

/** Shops call the API, the Temporal UI calls the codec endpoint, and neither may call the other's. */
function allowOrigins(webOrigins: readonly string[], uiOrigins: readonly string[]): RequestHandler {
  const maxAge = preflightSeconds;
  const web = {
    origin: webOrigins.length === 0 ? false : [...webOrigins],
    exposedHeaders: ['Location', 'Retry-After', 'X-Request-Id', 'RateLimit', 'RateLimit-Policy'],
    maxAge,
  };
  const codec = {
    origin: uiOrigins.length === 0 ? false : [...uiOrigins],
    credentials: true,
    methods: ['POST'],
    // The last is the UI's id token, sent beside its access token and of no use here (temporalio/ui 2.50.1).
    allowedHeaders: ['authorization', 'content-type', 'x-namespace', 'authorization-extras'],
    maxAge,
  };
  const forCodec = (request: Request) => /^\/codec(\/|$)/i.test(request.path);
  const answer = cors<Request>((request, choose) => choose(null, forCodec(request) ? codec : web));
  return (request, response, next) => {
    // Chromium asks so before a public page, such as Temporal Cloud's, may call a private network. `cors` does not know it.
    const asked = request.get('Access-Control-Request-Private-Network') === 'true';
    if (asked && forCodec(request) && uiOrigins.includes(request.get('Origin') ?? '')) {
      response.set('Access-Control-Allow-Private-Network', 'true');
    }
    answer(request, response, next);
  };
}

const neverStore: RequestHandler = (_request, response, next) => {
  response.set('Cache-Control', 'no-store');
  next();
};
