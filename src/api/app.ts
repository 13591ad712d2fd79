/** Puts the HTTP API together. */
import cors from 'cors';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import swaggerUi from 'swagger-ui-express';
import { analyticsRoutes } from './analytics';
import { identify } from './auth';
import { bookingRoutes } from './bookings';
import { cartRoutes } from './carts';
import { caseRoutes } from './cases';
import type { ApiDependencies } from './dependencies';
import { describeRoutes, documentRoutes } from './document';
import { healthRoutes } from './health';
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
  const routes: Route[] = [
    ...providerRoutes(deps),
    ...offeringRoutes(deps),
    ...providerBookingRoutes(deps),
    ...cartRoutes(deps),
    ...bookingRoutes(deps, rates),
    ...walletRoutes(deps),
    ...caseRoutes(deps),
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
    allowOrigins(config.http.webOrigins),
  );
  mount(app, probes);
  mount(app, webhooks);
  app.use(identify(config.auth), rates.anonymous);
  app.use('/v1', neverStore);
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

function allowOrigins(webOrigins: readonly string[]): RequestHandler {
  return cors({
    origin: webOrigins.length === 0 ? false : [...webOrigins],
    exposedHeaders: ['Location', 'Retry-After', 'X-Request-Id', 'RateLimit', 'RateLimit-Policy'],
    maxAge: preflightSeconds,
  });
}

const neverStore: RequestHandler = (_request, response, next) => {
  response.set('Cache-Control', 'no-store');
  next();
};
