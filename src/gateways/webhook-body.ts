/**
 * The JSON of a webhook, before anything is known of its shape.
 * @throws without quoting the body, whose beginning would stand in the message of `JSON.parse`
 */
export function parsedBody(rawBody: Buffer): unknown {
  try {
    return JSON.parse(rawBody.toString('utf8')) as unknown;
  } catch {
    throw new Error('The body is not JSON');
  }
}
