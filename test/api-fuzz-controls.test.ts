/** Controls: each of what the fuzz looks for, done on purpose before the routes, is found, and can be played again. */
import type { Request, RequestHandler, Response } from 'express';
import { play } from './api-fuzz-play';
import { openFuzzShop, type FuzzShop } from './api-fuzz-shop';
import type { Json } from './world';

let shop: FuzzShop;
beforeAll(async () => {
  shop = await openFuzzShop();
});
afterAll(() => shop.stop());
afterEach(() => {
  delete shop.saboteur.meddle;
});

/** Changes what a route answers. */
function answering(change: (status: number, body: Json, response: Response) => Json): RequestHandler {
  return (_request, response, next) => {
    const send = response.send.bind(response);
    response.send = (text) => {
      response.send = send;
      return send(JSON.stringify(change(response.statusCode, JSON.parse(String(text)), response)));
    };
    next();
  };
}

/** Does something whatever is asked, refused or not. */
const always =
  (deed: (request: Request) => unknown): RequestHandler =>
  async (request, _response, next) => {
    await deed(request);
    next();
  };

const lostCart = { id: 'crt_x', status: 'active', items: [], total: null };
let made = 0;

const sabotages: [what: string, route: string, meddle: RequestHandler, finding: string][] = [
  [
    'a field that the document promises is missing',
    'GET /v1/wallet',
    answering((_status, { balances: _gone, ...rest }: Json) => rest),
    'does not fit the document',
  ],
  [
    'a field is told that the document does not know',
    'GET /v1/offerings/{id}',
    answering((status, body: Json) => (status === 200 ? { ...body, revenue: 1 } : body)),
    'does not fit the document',
  ],
  [
    'a status is answered that the document does not know',
    'GET /v1/analytics/money',
    answering((_status, body: Json, response) => (response.status(418), body)),
    'the document knows no 418 here',
  ],
  [
    'a refusal has a type without a page',
    'POST /v1/offerings',
    answering((status, body: Json) => (status === 400 ? { ...body, type: '/problems/odd' } : body)),
    'no page explains /problems/odd',
  ],
  [
    'the service fails',
    'PUT /v1/provider',
    (_request, _response, next) => next(new Error('on purpose')),
    'the fault of the service: 500',
  ],
  [
    'what is not away is said to be',
    'GET /v1/provider',
    (_request, response) => void response.status(503).json({}),
    'the fault of the service: 503',
  ],
  [
    'a refused request writes a row',
    'PATCH /v1/offerings/{id}',
    always(() => shop.world.db('carts').insert({ id: `crt_${(made += 1)}`, customer_id: 'nobody' })),
    'it wrote to carts',
  ],
  [
    'a refused request starts a workflow',
    'POST /v1/bookings/{id}/return',
    always(() =>
      shop.world.temporal.workflow.start('unknown', {
        workflowId: `sabotage-${(made += 1)}`,
        taskQueue: 'nobody-listens',
        workflowExecutionTimeout: '1s',
      }),
    ),
    'it started a workflow',
  ],
  [
    'reading writes',
    'GET /v1/cases',
    always(() => shop.world.db('carts').insert({ id: `crt_${(made += 1)}`, customer_id: 'nobody' })),
    'it wrote to carts',
  ],
  [
    'a token that does not count lets in',
    'GET /v1/payments',
    always(async (request) => {
      if (request.path !== '/v1/payments') return;
      request.headers.authorization = `Bearer ${await shop.world.token('olga', 'ops')}`;
    }),
    'may not: that is 40',
  ],
  [
    'a body is taken that the document refuses',
    'POST /v1/carts',
    (_request, response) =>
      void response.status(201).set({ location: '/', 'x-request-id': 'x' }).json(lostCart),
    'a body was taken that',
  ],
];

test.each(sabotages)('%s: found in %s, and played again', async (_what, route, meddle, finding) => {
  const operation = shop.document.operations.find(({ name }) => name === route);
  if (operation === undefined) throw new Error(`There is no ${route}`);
  shop.saboteur.meddle = meddle;
  // A seed of its own, so that each control sees the same requests always.
  const failure = await play(shop, operation, { runs: 200, seed: 1, shrink: false });
  expect(failure?.report).toContain(finding);
  expect(failure?.report).toMatch(/FUZZ_SEED=-?\d+ FUZZ_ROUTE='.+' FUZZ_PATH='\d+(:\d+)*' npm test/);
  if (failure === undefined) return;
  const again = await play(shop, operation, failure.again);
  expect(again?.report).toContain(finding);
  delete shop.saboteur.meddle;
  expect(await play(shop, operation, failure.again)).toBeUndefined();
});
