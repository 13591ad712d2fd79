/** Shapes of a provider's profile, as requests send it and answers show it. */
import { z } from 'zod';
import { instantShown, languageTag, line } from './validation';

/** Body of `PUT /v1/provider`; it replaces the profile, so a locale that is not sent again is gone. */
export const providerProfile = z
  .strictObject({
    displayName: line(200).meta({ description: 'Shown with each offering, to everybody.' }),
    email: z.email().max(254).meta({ description: 'Who is told about bookings; shown to nobody.' }),
    locale: languageTag.optional(),
  })
  .meta({ id: 'ProviderProfile' });
export type ProviderProfile = z.output<typeof providerProfile>;

/** A profile as its provider sees it. */
export const providerView = z
  .object({
    id: z.string().meta({ description: 'Subject of the token: what `providerId` of an offering names.' }),
    displayName: z.string(),
    email: z.string(),
    locale: z.string().optional(),
    changedAt: instantShown,
  })
  .meta({ id: 'Provider' });
export type ProviderView = z.infer<typeof providerView>;
