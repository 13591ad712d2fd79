/** Providers as they publish, are told, and read what was paid, through HTTP. */
import { randomBytes } from 'node:crypto';
import { publish, type Published } from './book-setup';
import type { Answer, Json, World } from './world';

/** One signed-in provider. */
export class Provider {
  constructor(
    private readonly world: World,
    readonly sub = `provider-${randomBytes(5).toString('hex')}`,
  ) {}

  get email(): string {
    return `${this.sub}@clinic.example`;
  }

  async call(method: string, path: string, body?: unknown): Promise<Answer> {
    const token = await this.world.token(this.sub, 'catalog');
    return this.world.call(method, path, { token, ...(body === undefined ? {} : { body }) });
  }

  /** Says who they are, and where to be told. */
  async introduce(profile: { displayName?: string; email?: string; locale?: string } = {}): Promise<void> {
    const { status, body } = await this.call('PUT', '/v1/provider', {
      displayName: 'Dr. Example',
      email: this.email,
      ...profile,
    });
    if (status !== 200) throw new Error(`A profile was answered ${status}: ${JSON.stringify(body)}`);
  }

  publish(offering?: Published): Promise<string> {
    return publish(this.world, offering, this.sub);
  }

  /** Their paid bookings: of one offering, or of all. */
  async bookings(offeringId?: string): Promise<Json[]> {
    const path = offeringId === undefined ? '/v1/provider/bookings' : `/v1/offerings/${offeringId}/bookings`;
    const { status, body } = await this.call('GET', path);
    if (status !== 200) throw new Error(`A list of bookings was answered ${status}`);
    return body.items as Json[];
  }

  /** One booking, with what the customer sent. */
  read(bookingId: string): Promise<Answer> {
    return this.call('GET', `/v1/bookings/${bookingId}`);
  }
}

/** The texts of the mails that reached this address. */
export async function textsTo(world: World, email: string): Promise<string[]> {
  const mails = await world.mail.messages();
  return mails.filter((mail) => mail.to.includes(email)).map((mail) => mail.text);
}
