/** Providers: what they call themselves, and where they are told about bookings. */
import type { ProviderRow } from '../database';
import type { ApiDependencies } from './dependencies';
import { Problem } from './problem';
import { providerProfile, providerView, type ProviderProfile, type ProviderView } from './provider-schemas';
import { defineRoute, type Asked, type Route } from './route';

const path = '/v1/provider';
const tag = 'Providers';
const current = { description: 'The profile as it is now', schema: providerView };

/** The routes of a provider's profile. */
export function providerRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'put',
      path,
      tag,
      summary: 'Say who you are and where to be told about bookings',
      description: 'Without a profile a provider can publish all the same, and is told nothing.',
      scopes: ['catalog'],
      body: providerProfile,
      answers: { 200: current },
      problems: ['invalid-request', 'payload-too-large', 'unavailable'],
      handle: (asked) => replace(deps, asked),
    }),
    defineRoute({
      method: 'get',
      path,
      tag,
      summary: 'Read your profile',
      scopes: ['catalog'],
      answers: { 200: current },
      problems: ['not-found', 'unavailable'],
      handle: async ({ caller, response }) => {
        const row = await deps.reading<ProviderRow>('providers').where({ id: caller.sub }).first();
        if (row === undefined) throw new Problem('not-found', 'You have no profile yet.');
        response.json(show(row));
      },
    }),
  ];
}

async function replace(
  { db }: ApiDependencies,
  { body, caller, response }: Asked<undefined, undefined, ProviderProfile>,
): Promise<void> {
  const [row] = await db<ProviderRow>('providers')
    .insert({
      id: caller.sub,
      display_name: body.displayName,
      email: body.email,
      locale: body.locale ?? null,
      changed_at: db.fn.now(),
    })
    .onConflict('id')
    .merge()
    .returning('*');
  if (row === undefined) throw new Error('Bug: a profile was written and is not there');
  response.json(show(row));
}

function show(row: ProviderRow): ProviderView {
  return {
    id: row.id,
    displayName: row.display_name,
    email: row.email,
    ...(row.locale === null ? {} : { locale: row.locale }),
    changedAt: row.changed_at.toISOString(),
  };
}
